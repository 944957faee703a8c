//! How answers look on a terminal: colours, tables, numbers, trees. Pure; nothing from outside reaches the terminal raw.

use std::io::{self, IsTerminal, Write};

use rollcall_events::time::{for_people, parse_instant};
use rollcall_events::visible::{visible, visible_json};
use serde::Serialize;
use serde_json::Value;

use crate::stderr::note;

/// Whether text on the terminal is colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMode {
    /// Yes.
    Colored,
    /// No.
    Plain,
}

impl ColorMode {
    /// Colours only on a terminal, and not where `NO_COLOR` says something.
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && std::io::stdout().is_terminal() { Self::Colored } else { Self::Plain }
    }

    fn code(self, code: &str, text: &str) -> String {
        match self {
            Self::Colored => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }

    /// A yes.
    pub fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    /// A no.
    pub fn bad(self, text: &str) -> String {
        self.code("31", text)
    }

    /// A remark.
    pub fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Text(ColorMode),
    /// For programs.
    Json,
}

impl OutputFormat {
    /// Prints the answer as it came, or as `text` makes it.
    pub fn print(self, answer: &Value, text: impl FnOnce(ColorMode) -> String) {
        match self {
            Self::Json => print_json(answer),
            Self::Text(paint) => print(&text(paint)),
        }
    }
}

/// Prints an answer. A reader that stops (`| head`) has seen enough: the process ends quietly. Whatever it is made of,
/// nothing hidden leaves but our own colours and the ends of lines.
pub fn print(text: &str) {
    match write_out(text) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        // Half an answer is none.
        Err(error) => {
            note(&format!("rollcall: the answer could not be written: {error}\n"));
            std::process::exit(3);
        }
    }
}

/// Prints what a server says of itself. It serves also where nobody can read that.
pub fn greet(text: &str) {
    drop(write_out(text));
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(shown(text).as_bytes())?;
    out.flush()
}

fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\r', '\t', '\n']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(&visible(plain));
        let code = special.strip_prefix("\u{1b}[").and_then(|code| code.split_once('m'));
        let ours = code.filter(|(code, _)| code.len() <= 2 && code.bytes().all(|b| b.is_ascii_digit()));
        let kept = match (ours, special.as_bytes()) {
            (Some((code, _)), _) => code.len() + 3,
            (None, [b'\r', b'\n', ..]) => 2,
            (None, [b'\n' | b'\t', ..]) => 1,
            _ => 0,
        };
        let (kept, escaped) = special.split_at(kept);
        out.push_str(kept);
        rest = match kept {
            // The first of it is one byte long.
            "" => {
                let (first, rest) = escaped.split_at(1);
                out.push_str(&visible(first));
                rest
            }
            _ => escaped,
        };
    }
    out + &visible(rest)
}

/// Prints JSON.
pub fn print_json(value: &Value) {
    print(&visible_json(&format!("{value:#}\n")));
}

/// A text from elsewhere, with its hidden characters written out: it cannot steer the terminal, nor turn around what
/// stands beside it.
pub fn escape_controls(text: &str) -> String {
    visible(text).into_owned()
}

/// A value of an answer as text: strings without quotes, times to the second, nothing for null.
pub fn cell(value: &impl Serialize) -> String {
    json_cell(&serde_json::to_value(value).unwrap_or_default())
}

fn json_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match parse_instant(text) {
            Ok(instant) => for_people(instant),
            Err(_) => escape_controls(text),
        },
        Value::Array(list) => {
            let items = list
                .iter()
                .map(|item| item.as_str().map_or_else(|| visible(&item.to_string()).into_owned(), escape_controls));
            items.collect::<Vec<_>>().join(", ")
        }
        other => visible(&other.to_string()).into_owned(),
    }
}

/// A member of an answer whose members are shown whatever they are called.
pub fn field_text(value: &Value, key: &str) -> String {
    value.pointer(&format!("/{}", key.replace('.', "/"))).map(json_cell).unwrap_or_default()
}

/// A column of a table: its heading, and how a row's cell is made.
pub type Column<T> = (&'static str, fn(&T) -> String);

/// A table of things.
pub fn table_of<T>(paint: ColorMode, columns: &[Column<T>], rows: &[T]) -> String {
    let heading: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect()).collect();
    table(paint, &heading, &rows)
}

/// Columns as wide as their widest cell; the first row is the heading.
pub fn table(paint: ColorMode, heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut out = paint.bold(&line(&mut heading.iter().copied()));
    out.push('\n');
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// A number with thin groups, as in `2 041`.
pub fn group_digits(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A word for a shell: quoted where it must be.
pub fn shell_quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_a_name_cannot_steer_the_terminal() {
        let columns: [Column<(&str, Option<u64>)>; 2] = [("NAME", |row| cell(&row.0)), ("X", |row| cell(&row.1))];
        let text = table_of(ColorMode::Plain, &columns, &[("a\u{1b}[2Jb", Some(7)), ("é", None)]);
        assert_eq!(text, "NAME         X\na\\u{1b}[2Jb  7\né\n");
    }

    #[test]
    fn whatever_is_printed_nothing_hidden_leaves_but_our_colours_and_the_ends_of_lines() {
        let ours = format!("{}\ta,b\r\nc\n", ColorMode::Colored.good("yes"));
        assert_eq!(shown(&ours), ours);
        for (text, told) in [
            ("a\u{85}\u{202e}b\n", "a\\u{85}\\u{202e}b\n"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("a\rb", "a\\rb"),
            ("\u{1b}", "\\u{1b}"),
        ] {
            assert_eq!(shown(text), told);
        }
        let value = serde_json::json!({"name": "x\u{9b}31m\u{202e}"});
        let printed = shown(&visible_json(&value.to_string()));
        assert!(printed.is_ascii(), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), value);
    }

    #[test]
    fn numbers_and_words_are_written_as_expected() {
        assert_eq!(
            (group_digits(7).as_str(), group_digits(2041).as_str(), group_digits(1_000_000).as_str()),
            ("7", "2 041", "1 000 000")
        );
        assert_eq!(shell_quote("a b'c"), "'a b'\\''c'");
        assert_eq!(shell_quote("ada@globex.test"), "ada@globex.test");
    }
}
