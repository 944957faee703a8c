//! Reads the decision tables in `tests/access-models/`. Knows quoting; knows no column.

use std::{collections::BTreeMap, path::Path};

pub type Row = BTreeMap<String, String>;

/// The rows of a table by column name.
pub fn rows(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/access-models").join(file);
    let mut lines = cells(&std::fs::read_to_string(path).unwrap()).into_iter();
    let header = lines.next().unwrap();
    let rows: Vec<Row> = lines
        .map(|line| {
            assert_eq!(line.len(), header.len(), "{file}: {line:?}");
            header.iter().cloned().zip(line).collect()
        })
        .collect();
    assert!(rows.len() > 10, "{file} has {} rows", rows.len());
    rows
}

fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            c => cell.push(c),
        }
    }
    assert!(!quoted && line.is_empty(), "the table does not end with a line");
    lines
}

#[test]
fn quoted_cells_keep_their_commas_and_quotes() {
    assert_eq!(cells("a,b\n\"x, \"\"y\"\"\",\n"), [["a", "b"], ["x, \"y\"", ""]]);
}
