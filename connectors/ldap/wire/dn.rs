//! Distinguished names as structures (RFC 4514): parsed, attribute types case-folded, values unescaped. Two that are equal
//! here name one entry on every server; whether two others do is the server's to say: an attribute may be case-exact, and
//! another take several spellings for one. Knows no directory.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Ends one part of a name (an attribute and its value or values).
const END: char = '\u{0}';
/// Between the values of one part.
const AND: char = '\u{1}';
/// Before what would be one of these three, and before a value that is no text.
const ESCAPE: char = '\u{2}';

/// A parsed name. Two of them are equal when they are the same but for how RFC 4514 lets it be written: escapes, spaces
/// around separators, the case of attribute types, the order of several values. Cheap to clone: a large directory names
/// everybody many times.
#[derive(Clone)]
pub struct Dn {
    /// What it means, as one text in one spelling (from the entry up to the root, each part ended), and behind that how
    /// it was written: so it is shown and sent.
    text: Arc<str>,
    /// Where what it means ends.
    meaning: usize,
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

impl Eq for Dn {}

impl Ord for Dn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.meaning().cmp(other.meaning())
    }
}

impl PartialOrd for Dn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meaning().hash(state);
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dn({self})")
    }
}

/// An attribute value in a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Text.
    Text(String),
    /// What is no UTF-8, or was written as `#` and hexadecimal BER.
    Bytes(Vec<u8>),
}

impl Value {
    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => text.chars().for_each(|c| {
                if matches!(c, END | AND | ESCAPE) {
                    out.push(ESCAPE);
                    out.push(if c == END {
                        '0'
                    } else if c == AND {
                        '1'
                    } else {
                        '2'
                    });
                } else {
                    out.push(c);
                }
            }),
            Self::Bytes(bytes) => {
                out.push(ESCAPE);
                out.push('#');
                bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
            }
        }
    }
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a distinguished name: {what}", text = .text.escape_debug())]
pub struct InvalidDn {
    text: String,
    what: &'static str,
}

/// Attribute types that have a short and a long name, and their object identifiers (RFC 4514 section 3). For reading what
/// stands in a name; whether another name of a type makes another entry is the server's to say (389 Directory Server: yes).
const TYPES: [(&str, &[&str]); 9] = [
    ("cn", &["commonname", "2.5.4.3"]),
    ("l", &["localityname", "2.5.4.7"]),
    ("st", &["stateorprovincename", "2.5.4.8"]),
    ("o", &["organizationname", "2.5.4.10"]),
    ("ou", &["organizationalunitname", "2.5.4.11"]),
    ("c", &["countryname", "2.5.4.6"]),
    ("street", &["streetaddress", "2.5.4.9"]),
    ("dc", &["domaincomponent", "0.9.2342.19200300.100.1.25"]),
    ("uid", &["userid", "0.9.2342.19200300.100.1.1"]),
];

impl Dn {
    fn meaning(&self) -> &str {
        self.text.get(..self.meaning).unwrap_or_default()
    }

    /// The values of an attribute that the entry itself is named by, as far as they are text.
    pub fn names(&self, attribute: &str) -> impl Iterator<Item = String> {
        let mut kind = String::new();
        let known = attribute_type(attribute, &mut kind).is_some();
        let part = self.meaning().split(END).next().unwrap_or_default();
        part.split(AND).filter_map(move |pair| {
            let (name, value) = pair.split_once('=')?;
            if !known || short(name) != short(&kind) {
                return None;
            }
            let mut text = String::with_capacity(value.len());
            let mut chars = value.chars();
            while let Some(c) = chars.next() {
                text.push(match c {
                    ESCAPE => match chars.next()? {
                        '0' => END,
                        '1' => AND,
                        '2' => ESCAPE,
                        _ => return None,
                    },
                    c => c,
                });
            }
            Some(text)
        })
    }

    /// Whether this seems to be `base` or below it, without care for case and spaces: good to choose where to ask first.
    #[must_use]
    pub fn seems_within(&self, base: &Self) -> bool {
        let folded = |name: &Self| {
            let words: Vec<&str> = name.meaning().split(' ').filter(|word| !word.is_empty()).collect();
            words.join(" ").to_lowercase()
        };
        let (name, base) = (folded(self), folded(base));
        name.strip_suffix(&*base).is_some_and(|above| above.is_empty() || above.ends_with(END))
    }
}

/// As it was written.
impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.get(self.meaning..).unwrap_or_default())
    }
}

impl std::str::FromStr for Dn {
    type Err = InvalidDn;

    fn from_str(text: &str) -> Result<Self, InvalidDn> {
        let fail = |what| InvalidDn { text: text.chars().take(200).collect(), what };
        if text.len() > 32_768 {
            return Err(fail("longer than 32 KiB"));
        }
        let mut rest = text.trim_matches(' ');
        let mut out = String::with_capacity(2 * text.len() + 8);
        // Where the last part begins, and whether it has several values.
        let (mut begin, mut several) = (0, false);
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or_else(|| fail("a part without `=`"))?;
            attribute_type(name, &mut out).ok_or_else(|| fail("an attribute type that is none"))?;
            out.push('=');
            let (end, after) = match plain(after) {
                Some((value, end, after)) => {
                    out.push_str(value);
                    (end, after)
                }
                None => {
                    let (value, end, after) = value(after).map_err(fail)?;
                    value.write(&mut out);
                    (end, after)
                }
            };
            rest = after.trim_start_matches(' ');
            if end == Some('+') {
                if rest.is_empty() {
                    return Err(fail("it ends after `+`"));
                }
                several = true;
                out.push(AND);
                continue;
            }
            if std::mem::take(&mut several) {
                // `cn=a+sn=b` is `sn=b+cn=a`.
                let part = out.split_off(begin);
                let mut values: Vec<&str> = part.split(AND).collect();
                values.sort_unstable();
                out.push_str(&values.join("\u{1}"));
            }
            out.push(END);
            begin = out.len();
            if end.is_some() && rest.is_empty() {
                return Err(fail("it ends after `,`"));
            }
        }
        let meaning = out.len();
        out.push_str(text);
        Ok(Self { text: out.into(), meaning })
    }
}

/// The short name of a type in lower case.
fn short(name: &str) -> &str {
    TYPES.iter().find(|(_, others)| others.contains(&name)).map_or(name, |(short, _)| short)
}

/// A type as it is written, in lower case: `OU` and `ou` are one.
fn attribute_type(text: &str, out: &mut String) -> Option<()> {
    let begin = out.len();
    out.extend(text.trim_matches(' ').chars().map(|c| c.to_ascii_lowercase()));
    let written = out.get(begin..)?;
    let text = written.strip_prefix("oid.").unwrap_or(written);
    let first = text.bytes().next()?;
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let fits = if first.is_ascii_digit() {
        text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()))
    } else {
        first.is_ascii_alphabetic() && text.bytes().all(letters)
    };
    if !fits {
        return None;
    }
    if text.len() < written.len() {
        let name = text.to_owned();
        out.truncate(begin);
        out.push_str(&name);
    }
    Some(())
}

/// A value as nearly all are: ASCII without anything that is written in several ways. What ended it, and what comes after.
fn plain(text: &str) -> Option<(&str, Option<char>, &str)> {
    let end = text.bytes().position(|b| matches!(b, b',' | b'+' | b';')).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    let odd = |b: u8| !b.is_ascii() || b < b' ' || matches!(b, b'\\' | b'"' | b'#' | b'<' | b'>');
    let spaced = value.starts_with(' ') || value.ends_with(' ');
    if spaced || value.bytes().any(odd) {
        return None;
    }
    let (separator, after) = separator(after);
    Some((value, separator, after))
}

/// One value, what ended it (`,` or `+`; `None` at the end), and what comes after that.
fn value(text: &str) -> Result<(Value, Option<char>, &str), &'static str> {
    let text = text.trim_start_matches(' ');
    if let Some(hex) = text.strip_prefix('#') {
        let end = hex.find([',', '+', ';']).unwrap_or(hex.len());
        let (digits, after) = hex.split_at(end);
        let bytes = unhex(digits.trim_end_matches(' ')).ok_or("`#` without hexadecimal bytes")?;
        let (separator, after) = separator(after);
        return Ok((ber_text(&bytes), separator, after));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_value(quoted);
    }
    let mut bytes: Vec<u8> = Vec::new();
    // Spaces at the end belong to the value only where they were escaped.
    let mut kept = 0;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | ';' | '+' => {
                bytes.truncate(kept);
                let (separator, after) = separator(text.get(at..).unwrap_or_default());
                return Ok((unescaped(bytes), separator, after));
            }
            '\\' => {
                unescape(&mut chars, &mut bytes)?;
                kept = bytes.len();
            }
            '"' | '<' | '>' | '\0' => return Err("a character that must be escaped"),
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    Ok((unescaped(bytes), None, ""))
}

/// The old form of RFC 1779, which some servers still write.
fn quoted_value(text: &str) -> Result<(Value, Option<char>, &str), &'static str> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let after = text.get(at + 1..).unwrap_or_default().trim_start_matches(' ');
                let (separator, after) = separator(after);
                if separator.is_none() && !after.is_empty() {
                    return Err("something follows a quoted value");
                }
                return Ok((unescaped(bytes), separator, after));
            }
            '\\' => unescape(&mut chars, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a quote that is not closed")
}

/// `\` and a special character, or `\` and two hexadecimal digits.
fn unescape(chars: &mut std::str::CharIndices<'_>, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
    let (_, c) = chars.next().ok_or("it ends after `\\`")?;
    if let Some(high) = c.to_digit(16) {
        let low = chars.next().and_then(|(_, c)| c.to_digit(16)).ok_or("`\\` and one hexadecimal digit")?;
        bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
        return Ok(());
    }
    if !" \"#+,;<=>\\".contains(c) {
        return Err("`\\` before a character that needs none");
    }
    bytes.push(u8::try_from(c).unwrap_or_default());
    Ok(())
}

fn separator(text: &str) -> (Option<char>, &str) {
    let mut chars = text.chars();
    match chars.next() {
        Some(',' | ';') => (Some(','), chars.as_str()),
        Some('+') => (Some('+'), chars.as_str()),
        _ => (None, text),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).filter_map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok()).collect())
}

/// `#0403414243` is the octet string ABC, and so is `ABC`; any other BER stays what it is.
fn ber_text(bytes: &[u8]) -> Value {
    match crate::wire::ber::Reader::new(bytes).any() {
        Ok(Some((0x04 | 0x0c | 0x13 | 0x16, content))) => unescaped(content.to_vec()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

fn unescaped(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a value so that it is read back as it is.
    fn escape(text: &str, f: &mut impl fmt::Write) -> fmt::Result {
        let last = text.chars().count().saturating_sub(1);
        for (i, c) in text.chars().enumerate() {
            match c {
                '\0'..='\u{1f}' | '\u{7f}' => write!(f, "\\{:02x}", u32::from(c))?,
                ' ' if i == 0 || i == last => f.write_str("\\20")?,
                '#' if i == 0 => f.write_str("\\#")?,
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {
                    f.write_char('\\')?;
                    f.write_char(c)?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }

    /// What it means, written out.
    fn canonical(dn: &Dn) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for (i, part) in dn.meaning().split_terminator(END).enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            for (j, value) in part.split(AND).enumerate() {
                let (name, value) = value.split_once('=').unwrap();
                write!(out, "{}{name}=", if j == 0 { "" } else { "+" }).unwrap();
                match value.strip_prefix("\u{2}#") {
                    Some(hex) => {
                        hex.as_bytes().chunks(2).for_each(|pair| write!(out, "\\{}", pair.escape_ascii()).unwrap());
                    }
                    None => {
                        let text = value.replace("\u{2}0", "\u{0}").replace("\u{2}1", "\u{1}");
                        escape(&text.replace("\u{2}2", "\u{2}"), &mut out).unwrap();
                    }
                }
            }
        }
        out
    }

    fn dn(text: &str) -> Dn {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn one_name_in_many_spellings() {
        let one = dn("uid=Ada Lovelace,ou=People,dc=ex,dc=test");
        for other in [
            "UID=Ada Lovelace,OU=People,DC=ex,DC=test",
            "uid=Ada Lovelace , ou = People , dc=ex;dc=test",
            "uid=Ada\\20Lovelace,ou=People,dc=ex,dc=test",
            "uid=\"Ada Lovelace\",ou=People,dc=ex,dc=test",
            "uid=\\41da Lovelace,ou=#040650656f706c65,dc=ex,dc=test",
        ] {
            assert_eq!(one, dn(other), "{other}");
        }
        assert_eq!(dn("2.5.4.11=a,dc=x"), dn("OID.2.5.4.11=a,dc=x"));
        assert_eq!(dn("cn=a+sn=b,dc=x"), dn("SN=b+CN=a,DC=x"));
        assert_eq!(dn("cn=M\u{fc}ller,dc=x"), dn("cn=M\\C3\\BCller,dc=x"));
    }

    #[test]
    fn what_only_a_server_knows_to_be_one_name_is_two_here() {
        let one = dn("uid=Ada Lovelace,dc=ex");
        for other in [
            "uid=ada lovelace,dc=ex",
            "uid=Ada  Lovelace,dc=ex",
            "uid=Ada Lovelace\\20,dc=ex",
            "uid=Ada Lovelace,dc=EX",
            "userid=Ada Lovelace,dc=ex",
            "0.9.2342.19200300.100.1.1=Ada Lovelace,dc=ex",
        ] {
            assert_ne!(one, dn(other), "{other}");
        }
        assert_ne!(dn("cn=Jos\u{e9},dc=x"), dn("cn=Jose\u{301},dc=x"));
    }

    #[test]
    fn a32_an_escaped_comma_is_no_comma() {
        assert_ne!(dn("cn=admins\\,dc=x"), dn("cn=admins,dc=x"));
        assert_eq!(dn("cn=admins\\,dc=x"), dn("cn=admins\\2cdc\\3dx"));
        assert!(!dn("cn=a\\,dc=x").seems_within(&dn("dc=x")));
        assert!(dn("cn=a,ou=b,dc=x").seems_within(&dn("OU=B, DC=X")));
        assert!(!dn("cn=a,ou=bb,dc=x").seems_within(&dn("ou=b,dc=x")));
    }

    #[test]
    fn odd_characters_are_part_of_the_name() {
        let odd = dn("cn=a\\,b\\+c\\\"d\\;e\\\\f\\#g\\<h\\>i\\=j,dc=x");
        assert_eq!(odd, dn(&canonical(&odd)), "{odd}");
        assert_eq!(dn("cn=a,dc=x"), dn("cn= a ,dc=x"));
        assert_eq!(dn("").meaning(), "");
    }

    #[test]
    fn what_divides_a_name_inside_is_nothing_special_in_it() {
        for (a, b) in [("cn=a\\00dc=x", "cn=a,dc=x"), ("cn=a\\01sn=b", "cn=a+sn=b"), ("cn=\\020", "cn=\\00")] {
            assert_ne!(dn(a), dn(b));
            assert_eq!(dn(&canonical(&dn(a))), dn(a));
        }
        assert_ne!(dn("cn=\\ff"), dn("cn=\\02\\23ff"));
        assert!(!dn("cn=a\\00dc=x").seems_within(&dn("dc=x")));
    }

    #[test]
    fn a32_what_is_no_name_is_refused() {
        for text in [
            "admins",
            "=x",
            "cn",
            "cn=a,",
            "cn=a+",
            "cn=a<b",
            "cn=a>b",
            "cn=a\"b",
            "cn=a;b",
            "cn=a;",
            "cn=a,dc=x<",
            "cn=a\0b",
            "c n=a",
            "cn=a\\",
            "cn=a\\4",
            "cn=a\\zz",
            "cn=#0",
            "cn=#",
            "cn=\"a",
            "cn=\"a\"b",
            "1.a=x",
            ",",
            "cn=a,,dc=x",
        ] {
            assert!(text.parse::<Dn>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a32_any_text_is_refused_or_read_as_it_is_written_again(text in "[a-c=,+\\\\\"#; 0-9\u{fc}<>\0]{0,24}") {
            if let Ok(read) = text.parse::<Dn>() {
                let shown = canonical(&read);
                prop_assert_eq!(shown.parse::<Dn>().expect(&shown), read);
            }
        }

        #[test]
        fn a32_any_value_survives_being_written(text in "\\PC{1,20}") {
            let mut written = String::from("cn=");
            escape(&text, &mut written).unwrap();
            written.push_str(",dc=x");
            let read = written.parse::<Dn>().expect(&written);
            let mut expected = String::from("cn=");
            unescaped(text.into_bytes()).write(&mut expected);
            expected.push_str("\u{0}dc=x\u{0}");
            prop_assert_eq!(read.meaning(), expected);
        }
    }
}
