//! The tokens of JSON, and where a list's elements end although one of them is no JSON. Judges no content: what an element
//! may be, its reader says.
//!
//! Boundaries are those of a strict lexer with these leniencies and no others: in a text any byte but `"` and `\` stands
//! for itself (so a raw tab, or one that is no UTF-8), a `\` takes the byte after it along whatever that is, and outside
//! texts a word of letters, digits and `+-._` is a value (`NaN`, `-Infinity`, `01`). Whatever else there is, or a value
//! right after a value as where a quote is missing, ends the search: from there on nobody could say what is a text and what
//! is not, and a customer's name must never be read as an event.

use std::fmt;

use crate::json::syntax::no_text;

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// `[` or `{`.
    Open(u8),
    /// `]` or `}`.
    Close(u8),
    Comma,
    Colon,
    /// From quote to quote.
    Text,
    /// A number, `true`, or what somebody took for a value.
    Word,
}

/// A token and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lexed {
    pub(crate) token: Token,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Where bytes stop to be JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The byte, counted from 0.
    pub at: usize,
    /// What is there and what to do.
    pub what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

pub(crate) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next token; nothing at the end.
    pub(crate) fn next(&mut self) -> Option<Result<Lexed, SyntaxError>> {
        while self.bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        let (start, first) = (self.at, *self.bytes.get(self.at)?);
        let token = match first {
            b'[' | b'{' => Token::Open(first),
            b']' | b'}' => Token::Close(first),
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => Token::Text,
            b if is_of_word(b) => Token::Word,
            b => return Some(Err(SyntaxError { at: start, what: format!("{} stands outside of a text", shown(b)) })),
        };
        self.at = match token {
            Token::Text => match self.end_of_text() {
                Some(end) => end,
                None => return Some(Err(SyntaxError { at: start, what: "a text begins and has no end".to_owned() })),
            },
            Token::Word => {
                let word = self.bytes.get(start..).unwrap_or_default();
                start + word.iter().take_while(|b| is_of_word(**b)).count()
            }
            _ => start + 1,
        };
        Some(Ok(Lexed { token, start, end: self.at }))
    }

    /// Behind the quote that ends the text that begins here.
    fn end_of_text(&self) -> Option<usize> {
        let mut at = self.at + 1;
        loop {
            match self.bytes.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }
}

fn is_of_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_')
}

/// A byte as people are told of it.
pub(crate) fn shown(b: u8) -> String {
    if b.is_ascii_graphic() { format!("`{}`", char::from(b)) } else { format!("the byte 0x{b:02X}") }
}

/// The elements of a list as far as they can be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elements<'a> {
    /// The bytes of each, without the space around it, as many as were asked for. One may be empty, and any may be no JSON.
    pub whole: Vec<&'a [u8]>,
    /// How many there are.
    pub count: usize,
    /// Why nothing behind these was found, of a list that goes on.
    pub stopped: Option<SyntaxError>,
}

/// Finds the elements of a JSON list without judging them, and keeps `most` of them.
///
/// # Errors
/// It does not begin as a list.
pub fn split_list(bytes: &[u8], most: usize) -> Result<Elements<'_>, SyntaxError> {
    let mut lexer = Lexer::new(bytes);
    let not_a_list =
        |at, found: &str| SyntaxError { at, what: format!("a JSON list `[..]` was expected, and {found}") };
    if let Some(what) = no_text(bytes) {
        return Err(SyntaxError { at: 0, what: what.to_owned() });
    }
    let mut start = match lexer.next() {
        Some(Ok(Lexed { token: Token::Open(b'['), end, .. })) => end,
        Some(Ok(Lexed { token, start, .. })) => {
            let found = match token {
                Token::Open(_) => "an object is there",
                Token::Text => "a text is there: send the list itself, encoded once",
                _ => "something else is there",
            };
            return Err(not_a_list(start, found));
        }
        Some(Err(error)) => return Err(not_a_list(error.at, &error.what)),
        None => return Err(not_a_list(0, "nothing is there")),
    };
    let (mut whole, mut count) = (Vec::new(), 0);
    let mut keep = |element| {
        count += 1;
        if count <= most {
            whole.push(element);
        }
    };
    let mut any = false;
    let mut open: Vec<u8> = Vec::new();
    // Whether the last token ended a value: another one cannot follow it.
    let mut after_value = false;
    let stopped = loop {
        let lexed = match lexer.next() {
            Some(Ok(lexed)) => lexed,
            Some(Err(error)) => break Some(error),
            None => break Some(SyntaxError { at: bytes.len(), what: "the list has no end".to_owned() }),
        };
        let begins_value = matches!(lexed.token, Token::Open(_) | Token::Text | Token::Word);
        if begins_value && after_value {
            let what = "a value follows a value without a `,` between them".to_owned();
            break Some(SyntaxError { at: lexed.start, what });
        }
        after_value = matches!(lexed.token, Token::Close(_) | Token::Text | Token::Word);
        match lexed.token {
            Token::Open(b) => open.push(b),
            Token::Comma if open.is_empty() => {
                keep(element(bytes, start, lexed.start));
                (start, any) = (lexed.end, true);
            }
            Token::Close(b']') if open.is_empty() => {
                let last = element(bytes, start, lexed.start);
                if any || !last.is_empty() {
                    keep(last);
                }
                break match lexer.next() {
                    None => None,
                    Some(after) => {
                        let at = after.map_or_else(|error| error.at, |lexed| lexed.start);
                        Some(SyntaxError { at, what: "something follows the list".to_owned() })
                    }
                };
            }
            Token::Close(b) => {
                let begun = open.pop();
                if begun != Some(if b == b']' { b'[' } else { b'{' }) {
                    break Some(SyntaxError {
                        at: lexed.start,
                        what: format!("{} ends what it did not begin", shown(b)),
                    });
                }
            }
            Token::Comma | Token::Colon | Token::Text | Token::Word => {}
        }
    };
    Ok(Elements { whole, count, stopped })
}

fn element(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.get(start..end).unwrap_or_default().trim_ascii()
}

/// The text of a member of an object that may be no JSON as a whole, to say which one it is. Nothing where that is not
/// sure.
#[must_use]
pub fn find_text(object: &[u8], member: &str) -> Option<String> {
    let mut lexer = Lexer::new(object);
    let (mut depth, mut tokens) = (0_usize, Vec::<Lexed>::new());
    let mut found = None;
    while let Some(Ok(lexed)) = lexer.next() {
        match lexed.token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.checked_sub(1)?,
            _ => {}
        }
        let text = |lexed: &Lexed| serde_json::from_slice::<String>(object.get(lexed.start..lexed.end)?).ok();
        if let [.., key, colon] = tokens.as_slice()
            && (depth, colon.token, lexed.token) == (1, Token::Colon, Token::Text)
            && key.token == Token::Text
            && text(key).as_deref() == Some(member)
        {
            // Which of two would be meant is a guess.
            if found.is_some() {
                return None;
            }
            found = text(&lexed);
        }
        tokens.push(lexed);
        if tokens.len() > 2 {
            tokens.remove(0);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<String>, Option<String>) {
        let Elements { whole, stopped, .. } = split_list(text.as_bytes(), 100).unwrap();
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        (whole.iter().map(text).collect(), stopped.map(|error| format!("{}: {error}", error.at)))
    }

    #[test]
    fn an_element_that_is_no_json_ends_where_it_ends() {
        for bad in [
            r#"{"a":NaN}"#,
            r#"{"a":-Infinity}"#,
            "{\"a\":\"x\ty\"}",
            "{\"a\":\"x\u{0}\ny\"}",
            r#"{"a":01}"#,
            r#"{"a":"\q"}"#,
            r#"{"a":undefined}"#,
            r#"{"a":1,}"#,
            r#"{"a"::1}"#,
            r#"{,}"#,
            r#"["],[",1]"#,
            r#"{"a":"\"},{\"id\":\"evil\"}"}"#,
            r#"{"a":"ends with \\"}"#,
            "x",
            "",
        ] {
            let (found, stopped) = split(&format!(r#"[ {{"n":1}} , {bad},{{"n":3}}]"#));
            assert_eq!((found, stopped), (vec![r#"{"n":1}"#.into(), bad.into(), r#"{"n":3}"#.into()], None), "{bad}");
        }
        let latin1 = [&b"[1,{\"name\":\"J\xF6rg\"},3]"[..], b"[1,\"\xE2\",3]", b"[1,\"\xF0\x9F\",3]"];
        for body in latin1 {
            let found = split_list(body, 100).unwrap();
            assert_eq!((found.whole.len(), found.stopped), (3, None), "a byte of no UTF-8 takes no quote along");
        }
    }

    #[test]
    fn where_nobody_can_tell_texts_from_what_is_between_them_it_stops_and_says_where() {
        for (body, whole, at) in [
            (r#"[1,{"a":"b"c"},{"id":"2"}]"#, 1, 11),
            (r#"[1,{"a":"b},{"id":"2"}]"#, 1, 14),
            (r#"[1,{"a":\u0022b"},2]"#, 1, 8),
            (r#"[1,{'a':1},2]"#, 1, 4),
            (r#"[1,{"a":1]},2]"#, 1, 9),
            (r#"[1,{"a":1},{"b":2"#, 2, 17),
            (r#"[1,{"a":"x"#, 1, 8),
            (r#"[1,2]]"#, 2, 5),
            (r#"[1 2]"#, 0, 3),
            (r#"[{"a":1}{"b":2},3]"#, 0, 8),
            ("[1,/* no */2]", 1, 3),
        ] {
            let found = split_list(body.as_bytes(), 100).unwrap();
            assert_eq!((found.whole.len(), found.stopped.map(|error| error.at)), (whole, Some(at)), "{body}");
        }
        for (body, words) in [
            ("", "nothing is there"),
            ("{}", "an object is there"),
            ("  ", "nothing is there"),
            ("x", "something else"),
            ("\"[\"", "encoded once"),
            ("\u{FEFF}[]", "byte order mark"),
            ("\u{1F}\u{8B}", "outside of a text"),
        ] {
            let error = split_list(body.as_bytes(), 100).unwrap_err();
            assert!(error.what.contains(words), "{body}: {error}");
        }
        assert!(split_list(b"\x1F\x8B\x08", 100).unwrap_err().what.contains("gzip"));
        assert_eq!(split("[]"), (vec![], None));
        let many = split_list(b"[1,,3,]", 2).unwrap();
        assert_eq!((many.whole, many.count, many.stopped), (vec![&b"1"[..], b""], 4, None));
        assert_eq!(split(" [ ] \n"), (vec![], None));
    }

    #[test]
    fn which_event_it_is_is_said_where_that_is_sure() {
        let bad = br#"{"data":{"id":"no"},"id":"7","type":"a.b","x":NaN}"#;
        assert_eq!(find_text(bad, "id").as_deref(), Some("7"));
        assert_eq!(find_text(bad, "type").as_deref(), Some("a.b"));
        assert_eq!(find_text(br#"{"id":"7","id":"8","x":NaN}"#, "id"), None);
        assert_eq!(find_text(br#"{"name":"\",\"id\":\"evil","x":NaN}"#, "id"), None);
    }

    proptest::proptest! {
        /// Of what is JSON the boundaries are those of the strict reader.
        #[test]
        fn of_a_good_list_it_finds_what_the_strict_reader_finds(texts in proptest::collection::vec("[\\PC\"\\\\\\[\\]{},:\n\t]{0,12}", 0..6), pretty: bool) {
            let list = serde_json::json!(texts.iter().map(|t| serde_json::json!({"a": t, t: [t, {"b": t}]})).collect::<Vec<_>>());
            let body = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
            let strict: Vec<&serde_json::value::RawValue> = serde_json::from_str(&body).unwrap();
            let found = split_list(body.as_bytes(), 100).unwrap();
            proptest::prop_assert_eq!(found.stopped, None);
            proptest::prop_assert_eq!(found.whole, strict.iter().map(|raw| raw.get().as_bytes()).collect::<Vec<_>>());
        }

        /// Whatever is broken in one event: what others' strings hold never becomes an event of its own.
        #[test]
        fn no_text_of_a_third_party_becomes_an_event(
            attack in proptest::collection::vec("[\"\\\\{}\\[\\],:a]{0,10}", 3..4),
            broken in "[\"\\\\{}\\[\\],:a\t]{0,8}",
        ) {
            let text = |t: &str| serde_json::to_string(&format!("{t}\"}},{{\"id\":\"evil\"}},{{\"x\":\"{t}")).unwrap();
            let honest: Vec<String> = attack.iter().enumerate().map(|(n, t)| format!("{{\"id\":\"{n}\",\"name\":{}}}", text(t))).collect();
            // The second event has one value that is not JSON at all.
            let body = format!("[{},{{\"id\":\"b\",\"name\":{broken}}},{}]", honest[0], honest[1..].join(","));
            let found = split_list(body.as_bytes(), 100).unwrap();
            for element in found.whole {
                let Ok(value) = serde_json::from_slice::<serde_json::Value>(element) else { continue };
                proptest::prop_assert_ne!(&value["id"], "evil", "{}", body);
            }
        }
    }
}
