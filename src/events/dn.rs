//! Names of directory entries taken apart, for people who write them: what an entry can be called by. Never says whether two
//! are one entry; that the directory says.

use crate::names::canonical_name;

/// The parts of a distinguished name, the entry's own first, each as attribute and value in the form in which names are
/// compared; nothing where a text is none.
#[must_use]
pub fn parts(text: &str) -> Option<Vec<(String, String)>> {
    let parts = split(text, ',').into_iter().map(|part| {
        let at = part.find('=')?;
        let (attribute, value) = (part.get(..at)?.trim(), part.get(at + 1..)?.trim());
        let named = |c: char| c.is_ascii_alphanumeric() || ".-_;".contains(c);
        let fits = !attribute.is_empty() && !value.is_empty() && attribute.chars().all(named);
        fits.then(|| (attribute.to_ascii_lowercase(), canonical_name(&unescaped(value))))
    });
    parts.collect()
}

/// The parts of a text between characters that nothing escapes.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut found, mut from, mut escaped) = (Vec::new(), 0, false);
    for (ix, c) in text.char_indices() {
        if c == at && !escaped {
            found.extend(text.get(from..ix));
            from = ix + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    found.extend(text.get(from..));
    found
}

/// A value without its escapes: `\,` and `\2C` are a comma.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let hex = after.get(..2).and_then(|two| u8::from_str_radix(two, 16).ok());
        let taken = match (hex, after.chars().next()) {
            (Some(byte), _) => {
                bytes.push(byte);
                2
            }
            (None, Some(c)) => {
                bytes.extend_from_slice(c.to_string().as_bytes());
                c.len_utf8()
            }
            (None, None) => 0,
        };
        rest = after.get(taken..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distinguished_name_is_taken_apart_whatever_its_spelling() {
        let owned = |parts: &[(&str, &str)]| {
            Some(parts.iter().map(|(a, v)| ((*a).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        let devs = owned(&[("cn", "devs"), ("ou", "groups"), ("dc", "ex")]);
        assert_eq!(parts("cn=devs,ou=groups,dc=ex"), devs);
        assert_eq!(parts("CN = Devs , OU=Groups, DC=EX"), devs);
        assert_eq!(parts("cn=devs\\, eu,dc=ex"), owned(&[("cn", "devs, eu"), ("dc", "ex")]));
        assert_eq!(parts("cn=devs\\2C eu,dc=ex"), owned(&[("cn", "devs, eu"), ("dc", "ex")]));
        assert_eq!(parts("cn=\\C3\\A9t\\C3\\A9,dc=ex"), owned(&[("cn", "\u{e9}t\u{e9}"), ("dc", "ex")]));
        for none in ["", "devs", "corp/devs", "cn=", "=x", "cn=a,,dc=b", "a b=c", "cn=a\\"] {
            assert!(parts(none).is_none_or(|parts| parts.len() == 1 && none == "cn=a\\"), "{none}");
        }
    }
}
