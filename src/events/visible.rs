//! Text of outsiders where people read it: on a terminal, in a log, in a table for a spreadsheet. What nobody sees, or what
//! turns round what others see, is written out, so that it can neither steer nor deceive.

use std::{borrow::Cow, fmt::Write as _};

use crate::names::is_hidden;

/// The text with every hidden character written out: `\n`, `\u{9b}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |out, c| out.extend(c.escape_default()))
}

/// As [`visible`], of several lines: where they end stays.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && is_hidden(c), |out, c| out.extend(c.escape_default()))
}

/// A JSON text with the same meaning and no hidden character in it: `\u009b`. Its layout stays.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    replaced(
        json,
        |c| !matches!(c, '\n' | '\t' | '\r') && is_hidden(c),
        |out, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn replaced(text: &str, is_bad: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) { write(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control characters of both sets, what turns text round, what has no width, a tag, a line separator.
    const HIDDEN: &str = "\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{200b}\u{200e}\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}\r\n";

    #[test]
    fn nothing_hidden_is_left_and_what_is_seen_stays() {
        for (text, shown) in [
            ("ada", "ada"),
            ("Zoë 李 😀", "Zoë 李 😀"),
            ("a\u{9b}b", "a\\u{9b}b"),
            ("a\u{202e}b\nc", "a\\u{202e}b\\nc"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert!(visible(HIDDEN).is_ascii());
        assert_eq!(visible_lines("a\u{85}\nb"), "a\\u{85}\nb");
    }

    #[test]
    fn json_without_hidden_characters_means_the_same() {
        let value = serde_json::json!({ HIDDEN: [HIDDEN, "Zoë 😀", 1] });
        for json in [value.to_string(), format!("{value:#}")] {
            let shown = visible_json(&json);
            assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
