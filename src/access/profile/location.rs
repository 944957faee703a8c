//! Where something stands in a TOML text that an operator wrote: line and column of a byte, or of what a path names.
//! Knows no document's meaning.

use toml::de::{DeTable, DeValue};

/// Line and column, from 1, of a byte.
#[must_use]
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

/// Line and column of the innermost part of a path that is there: names of tables and keys, numbers in lists from 0.
#[must_use]
pub fn place_of(text: &str, path: &[String]) -> Option<(usize, usize)> {
    let table = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut here: Option<&DeValue<'_>> = None;
    for (depth, step) in path.iter().enumerate() {
        let inner = match (depth, here) {
            (0, _) => Some(table.get_ref()),
            (_, Some(DeValue::Table(inner))) => Some(inner),
            _ => None,
        };
        let found = match (inner, here) {
            (Some(inner), _) => {
                let entry = inner.iter().find(|(key, _)| key.get_ref() == step);
                entry.map(|(key, value)| (key.span().start, value.get_ref()))
            }
            (None, Some(DeValue::Array(list))) => {
                let entry = step.parse::<usize>().ok().and_then(|n| list.get(n));
                entry.map(|value| (value.span().start, value.get_ref()))
            }
            _ => None,
        };
        let Some((start, value)) = found else { break };
        (at, here) = (Some(start), Some(value));
    }
    at.map(|at| line_and_column(text, at))
}
