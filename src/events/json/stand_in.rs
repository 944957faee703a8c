//! JSON in which something is none, with something else in its place: so that what stands beside it can be read.

use std::borrow::Cow;

use serde_json::Value;

use crate::json::{
    lexer::{Lexer, Token},
    place,
    syntax::syntax_error,
};

/// Bytes with `stand_in` as a text in the place of each text and word that is no JSON, by the leniencies of the lexer and no
/// others, and what is wrong with each. Nothing where a value follows a value, or there is no such text or word.
#[must_use]
pub fn stand_in(bytes: &[u8], stand_in: &str) -> Option<(Vec<u8>, Vec<String>)> {
    let (mut mended, mut wrong, mut from) = (Vec::with_capacity(bytes.len()), Vec::new(), 0);
    let mut lexer = Lexer::new(bytes);
    let mut after_value = false;
    while let Some(lexed) = lexer.next() {
        let lexed = lexed.ok()?;
        if after_value && matches!(lexed.token, Token::Open(_) | Token::Text | Token::Word) {
            return None;
        }
        after_value = matches!(lexed.token, Token::Close(_) | Token::Text | Token::Word);
        let own = bytes.get(lexed.start..lexed.end)?;
        let is_json = match lexed.token {
            Token::Text => serde_json::from_slice::<Cow<'_, str>>(own).is_ok(),
            Token::Word => serde_json::from_slice::<Value>(own).is_ok(),
            _ => true,
        };
        if !is_json {
            let what = syntax_error(own).map_or_else(|| "a number that is too large".to_owned(), |error| error.what);
            wrong.push(format!("{what} ({})", place(bytes, lexed.start)));
            mended.extend_from_slice(bytes.get(from..lexed.start)?);
            mended.push(b'"');
            mended.extend_from_slice(stand_in.as_bytes());
            mended.push(b'"');
            from = lexed.end;
        }
    }
    mended.extend_from_slice(bytes.get(from..)?);
    (!wrong.is_empty()).then_some((mended, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_json_is_replaced_and_only_where_it_can_be_told_apart() {
        let mended = |bytes: &[u8]| stand_in(bytes, "?").map(|(mended, _)| String::from_utf8(mended).unwrap());
        for (body, expected) in [
            (&b"[1, NaN, \"a\"]"[..], "[1, \"?\", \"a\"]"),
            (b"[{\"a\": \"x\xff\", \"b\": 01}]", "[{\"a\": \"?\", \"b\": \"?\"}]"),
            (b"{\"a\tb\": 1e999}", "{\"?\": \"?\"}"),
        ] {
            assert_eq!(mended(body).as_deref(), Some(expected));
        }
        for body in [&b"[1]"[..], b"[\"a, \"b\"]", b"[\"a]", b"[#]", b""] {
            assert_eq!(mended(body), None);
        }
    }
}
