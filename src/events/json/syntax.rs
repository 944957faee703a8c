//! What is wrong with bytes that are no JSON, in words for whoever sends them. The judge is the strict reader; this says
//! why it refused.

use crate::json::lexer::{Lexed, Lexer, SyntaxError, Token, shown};

/// How deep lists and objects may stand in each other; the reader's own limit.
const MAX_DEPTH: usize = 127;

/// What begins like this is no text in UTF-8, whatever a header says of it.
const NOT_TEXT: &[(&[u8], &str)] = &[
    (b"\xEF\xBB\xBF", "the text begins with a byte order mark; leave it out"),
    (b"\xFF\xFE", "the text is UTF-16; send it in UTF-8"),
    (b"\xFE\xFF", "the text is UTF-16; send it in UTF-8"),
    (b"\x1F\x8B", "it is compressed (gzip); send it as it is, without `content-encoding`"),
    (b"\x28\xB5\x2F\xFD", "it is compressed (zstd); send it as it is, without `content-encoding`"),
    (b"\x78\x9C", "it is compressed (deflate); send it as it is, without `content-encoding`"),
];

/// What a place of the grammar waits for.
#[derive(Clone, Copy)]
enum Awaited {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// Why these bytes are no text at all, by how they begin.
pub(crate) fn no_text(bytes: &[u8]) -> Option<&'static str> {
    NOT_TEXT.iter().find(|(begin, _)| bytes.starts_with(begin)).map(|(_, what)| *what)
}

/// Why these bytes are no JSON; nothing where they seem to be.
#[must_use]
pub fn syntax_error(bytes: &[u8]) -> Option<SyntaxError> {
    if let Some(what) = no_text(bytes) {
        return Some(SyntaxError { at: 0, what: what.to_owned() });
    }
    let mut lexer = Lexer::new(bytes);
    let mut open: Vec<u8> = Vec::new();
    let mut awaited = Awaited::Value;
    let error = |at: usize, what: String| Some(SyntaxError { at, what });
    loop {
        let lexed = match lexer.next() {
            Some(Ok(lexed)) => lexed,
            Some(Err(stopped)) => return Some(stopped),
            None if open.is_empty() && matches!(awaited, Awaited::CommaOrEnd) => return None,
            None if bytes.trim_ascii().is_empty() => return error(0, "nothing is there".to_owned()),
            None => return error(bytes.len(), format!("it ends too early: {} is missing", expected(awaited, &open))),
        };
        if open.is_empty() && matches!(awaited, Awaited::CommaOrEnd) {
            return error(lexed.start, "something follows the JSON value; send one value".to_owned());
        }
        let text = bytes.get(lexed.start..lexed.end).unwrap_or_default();
        awaited = match (lexed.token, awaited) {
            (Token::Open(b), Awaited::Value | Awaited::ValueOrEnd) => {
                open.push(b);
                if open.len() > MAX_DEPTH {
                    return error(lexed.start, format!("it is nested deeper than {MAX_DEPTH}"));
                }
                if b == b'{' { Awaited::KeyOrEnd } else { Awaited::ValueOrEnd }
            }
            (Token::Close(b']'), Awaited::ValueOrEnd | Awaited::CommaOrEnd) if open.last() == Some(&b'[') => {
                open.pop();
                Awaited::CommaOrEnd
            }
            (Token::Close(b'}'), Awaited::KeyOrEnd | Awaited::CommaOrEnd) if open.last() == Some(&b'{') => {
                open.pop();
                Awaited::CommaOrEnd
            }
            (Token::Comma, Awaited::CommaOrEnd) => {
                if open.last() == Some(&b'{') {
                    Awaited::Key
                } else {
                    Awaited::Value
                }
            }
            (Token::Colon, Awaited::Colon) => Awaited::Value,
            (Token::Text, Awaited::Value | Awaited::ValueOrEnd | Awaited::Key | Awaited::KeyOrEnd) => {
                if let Some(wrong) = wrong_in_text(text, lexed.start) {
                    return Some(wrong);
                }
                if matches!(awaited, Awaited::Value | Awaited::ValueOrEnd) {
                    Awaited::CommaOrEnd
                } else {
                    Awaited::Colon
                }
            }
            (Token::Word, Awaited::Value | Awaited::ValueOrEnd) => {
                if let Some(what) = wrong_word(text) {
                    return error(lexed.start, what);
                }
                Awaited::CommaOrEnd
            }
            (_, awaited) => {
                return error(
                    lexed.start,
                    format!("{} was expected, and {} is there", expected(awaited, &open), found(&lexed, text)),
                );
            }
        };
    }
}

fn expected(awaited: Awaited, open: &[u8]) -> &'static str {
    match (awaited, open.last()) {
        (Awaited::Value, _) => "a value",
        (Awaited::ValueOrEnd, _) => "a value or `]`",
        (Awaited::Key, _) => "a member's name in quotes",
        (Awaited::KeyOrEnd, _) => "a member's name in quotes or `}`",
        (Awaited::Colon, _) => "`:`",
        (Awaited::CommaOrEnd, Some(b'{')) => "`,` or `}`",
        (Awaited::CommaOrEnd, _) => "`,` or `]`",
    }
}

fn found(lexed: &Lexed, text: &[u8]) -> String {
    match (lexed.token, text.first()) {
        (Token::Text, _) => "a text".to_owned(),
        (Token::Word, _) => format!("`{}`", clipped(text)),
        (_, Some(first)) => shown(*first),
        (_, None) => "nothing".to_owned(),
    }
}

fn clipped(word: &[u8]) -> String {
    String::from_utf8_lossy(word.get(..word.len().min(20)).unwrap_or_default()).into_owned()
}

/// What is wrong between two quotes that stand at `start`.
fn wrong_in_text(text: &[u8], start: usize) -> Option<SyntaxError> {
    let mut bytes = text.iter().copied().enumerate().skip(1).peekable();
    while let Some((at, b)) = bytes.next() {
        let wrong = match b {
            0..=0x1F => {
                Some(format!("the control character U+{b:04X} stands bare in a text; write it as `\\u{b:04x}`"))
            }
            b'\\' => match bytes.next() {
                Some((_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => None,
                Some((_, b'u')) => {
                    let digits = (0..4).all(|_| bytes.next_if(|(_, b)| b.is_ascii_hexdigit()).is_some());
                    (!digits).then(|| "`\\u` is followed by four hexadecimal digits".to_owned())
                }
                Some((_, b)) => Some(format!("`\\` is followed by {}; a `\\` itself is written `\\\\`", shown(b))),
                None => None,
            },
            _ => None,
        };
        if let Some(what) = wrong {
            return Some(SyntaxError { at: start + at, what });
        }
    }
    match std::str::from_utf8(text) {
        Err(error) => {
            let at = error.valid_up_to();
            let b = text.get(at).copied().unwrap_or_default();
            Some(SyntaxError { at: start + at, what: format!("{} is no UTF-8; send the text in UTF-8", shown_byte(b)) })
        }
        Ok(text) => serde_json::from_str::<String>(text).is_err().then(|| SyntaxError {
            at: start,
            what: "a `\\u` escape stands for half a character; both halves are needed".to_owned(),
        }),
    }
}

fn shown_byte(b: u8) -> String {
    format!("the byte 0x{b:02X}")
}

/// Why a word is no value of JSON.
fn wrong_word(word: &[u8]) -> Option<String> {
    if matches!(word, b"true" | b"false" | b"null") {
        return None;
    }
    let text = clipped(word);
    let lower = text.to_ascii_lowercase();
    if ["nan", "inf", "infinity"].contains(&lower.trim_start_matches(['-', '+'])) {
        return Some(format!("`{text}` is no JSON: a number is finite; send `null` or leave it out"));
    }
    match serde_json::from_slice::<serde_json::Number>(word) {
        Ok(_) => None,
        Err(_) if is_number(word) => Some(format!("the number `{text}` is too large")),
        Err(_) => Some(format!("`{text}` is no JSON value; a text stands in quotes, and a number is like 10 or 0.5")),
    }
}

fn is_number(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").unwrap_or(word);
    word.first().is_some_and(|b| (b'1'..=b'9').contains(b))
        && word.iter().all(|b| b.is_ascii_digit() || b"eE+-.".contains(b))
}

/// A byte's line and column, as people count them.
#[must_use]
pub fn place(bytes: &[u8], at: usize) -> String {
    let before = bytes.get(..at.min(bytes.len())).unwrap_or_default();
    let line = before.split(|b| *b == b'\n').count();
    let column = before.rsplit(|b| *b == b'\n').next().map_or(0, <[u8]>::len) + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_told_with_its_place_and_what_to_do() {
        for (text, at, words) in [
            (&b"\xEF\xBB\xBF{}"[..], 0, "byte order mark"),
            (b"\x1F\x8B\x08\x00", 0, "gzip"),
            (b"\xFF\xFE{\x00", 0, "UTF-16"),
            (b"", 0, "nothing is there"),
            (b"{\"a\":NaN}", 5, "finite"),
            (b"{\"a\":-Infinity}", 5, "finite"),
            (b"{\"a\":01}", 5, "no JSON value"),
            (b"{\"a\":True}", 5, "`True` is no JSON value"),
            (b"{\"a\":1e999}", 5, "too large"),
            (b"{\"a\":\"x\ty\"}", 7, "U+0009"),
            (b"{\"a\":\"\xE9\"}", 6, "0xE9 is no UTF-8"),
            (b"{\"a\":\"\\q\"}", 6, "itself is written"),
            (b"{\"a\":\"\\ud800\"}", 5, "half a character"),
            (b"{\"a\":\"\\u12\"}", 6, "four hexadecimal"),
            (b"{\"a\":1,}", 7, "a member's name in quotes was expected, and `}` is there"),
            (b"{\"a\" 1}", 5, "`:` was expected"),
            (b"{\"a\":1", 6, "ends too early"),
            (b"{\"a\":\"x", 5, "no end"),
            (b"{a:1}", 1, "in quotes"),
            (b"[1,]", 3, "a value was expected"),
            (b"[1 2]", 3, "`,` or `]`"),
            (b"{} {}", 3, "follows the JSON value"),
            (b"{'a':1}", 1, "`'` stands outside"),
        ] {
            let error = syntax_error(text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(error.at == at && error.what.contains(words), "{}: {error:?}", String::from_utf8_lossy(text));
        }
        assert_eq!(place(b"{\n \"a\": x", 8), "line 2, column 7");
        assert!(syntax_error("[".repeat(200).as_bytes()).unwrap().what.contains("nested"));
    }

    proptest::proptest! {
        /// It names a fault exactly where the strict reader finds one.
        #[test]
        fn it_refuses_what_the_strict_reader_refuses(text in "[\\[\\]{}:,\"\\\\ tru\u{e9}e01\u{1}.-]{0,12}") {
            let strict = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err();
            // The reader that skips a value does not look at what it skips as one that takes it does.
            let taken = serde_json::from_str::<serde_json::Value>(&text).is_err();
            let ours = syntax_error(text.as_bytes()).is_some();
            proptest::prop_assert!(ours == strict || ours == taken, "{:?}: {} {} {}", text, ours, strict, taken);
        }
    }
}
