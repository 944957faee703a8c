//! What people call users and things: which text can be a name, which spellings are one name, and names told from ids by
//! their form alone. Knows nobody; who has a name, the roster says.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::Digest;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 256;

/// What ids that we make begin with, `_` after it.
const ID_PREFIXES: [&str; 12] = ["bnd", "cfg", "dec", "dlv", "evt", "inv", "lnk", "pln", "req", "run", "sec", "src"];

/// What credentials begin with, `_` and at least 32 characters of base64url after it.
const CREDENTIAL_PREFIXES: [&str; 4] = ["rci", "rcr", "rcs", "rk"];

/// What `bnd_` is followed by: the base64 of `binding/`.
const BINDING: &str = "YmluZGluZy";

/// What the id of a service begins with where ids of users stand too. No name has a colon.
const SERVICE: &str = "service:";

/// As [`SERVICE`], of a user, as authors of commands are written.
const USER: &str = "user:";

/// Why a text cannot be the name of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unusable {
    /// Nothing is in it.
    Empty,
    /// More than [`MAX_NAME`] bytes.
    TooLong,
    /// A colon, at which a name ends where somebody signs in.
    Colon,
    /// A slash, as ids have between the source and what it calls somebody.
    Slash,
    /// The form of an id that we make, as in `sec_0190a7..`.
    OfAnId,
    /// `.` or `..`, which a path takes for itself.
    Dots,
    /// A character that nobody sees, or that turns round what others see.
    Hidden(char),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it has more than {MAX_NAME} bytes"),
            Self::Colon => {
                f.write_str("it has a `:` or what looks like one, at which a name ends where somebody signs in")
            }
            Self::Slash => f.write_str("it has a `/` or what looks like one, as ids have"),
            Self::OfAnId => f.write_str("it has the form of an id"),
            Self::Dots => f.write_str("it is only dots, which paths take for themselves"),
            Self::Hidden(c) => write!(f, "it has a character that is not seen, U+{:04X}", u32::from(*c)),
        }
    }
}

/// What nobody tells from a slash and a colon, beside what is one in its canonical form. Letters are none.
const SLASHES: [char; 10] = [
    '\u{1735}',
    '\u{2041}',
    '\u{2044}',
    '\u{2215}',
    '\u{2571}',
    '\u{27CB}',
    '\u{29F8}',
    '\u{3033}',
    '\u{31D3}',
    '\u{1D23A}',
];
const COLONS: [char; 9] =
    ['\u{2F8}', '\u{589}', '\u{5C3}', '\u{16EC}', '\u{1803}', '\u{1809}', '\u{205A}', '\u{2236}', '\u{A789}'];

/// The form in which names are kept and compared: NFKC, lower case, no space around it. Of any text, usable or not.
#[must_use]
pub fn canonical_name(text: &str) -> String {
    // Lower-casing can undo NFKC (and the other way round), so it is done until nothing changes. ASCII is NFKC already,
    // and nearly every name is ASCII.
    let once = |text: &str| -> String {
        if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
        }
    };
    let first = once(text.trim());
    let normal = if first.is_ascii() { first } else { once(&first) };
    let trimmed = normal.trim();
    if trimmed.len() == normal.len() { normal } else { trimmed.to_owned() }
}

/// The canonical form of a name that somebody can have and sign in with.
///
/// # Errors
/// Why nobody can.
pub fn user_name(text: &str) -> Result<String, Unusable> {
    // Looked at before and after: what is not seen may vanish in the canonical form, and what is forbidden may appear.
    hidden(text.trim()).map_or(Ok(()), |c| Err(Unusable::Hidden(c)))?;
    let name = canonical_name(text);
    let unusable = match name.as_str() {
        "" => Some(Unusable::Empty),
        name if name.len() > MAX_NAME => Some(Unusable::TooLong),
        name if name.contains(':') || name.contains(COLONS) => Some(Unusable::Colon),
        name if name.contains('/') || name.contains(SLASHES) => Some(Unusable::Slash),
        "." | ".." => Some(Unusable::Dots),
        name if has_form_of_id(name) => Some(Unusable::OfAnId),
        name => hidden(name).map(Unusable::Hidden),
    };
    unusable.map_or(Ok(name), Err)
}

/// What somebody is called of whom there is only an id: the id, with what no name can have as `-`.
#[must_use]
pub fn user_name_of_id(id: &str) -> String {
    let plain: String = id.chars().map(|c| if ":/".contains(c) || is_hidden(c) { '-' } else { c }).collect();
    // An id that even so is no name stays told apart from every other one.
    user_name(&plain).unwrap_or_else(|_| format!("person-{:016x}", Digest::of(id.as_bytes()).prefix()))
}

/// Whether a text has the form of an id that we make, `sec_` and hexadecimal digits, `bnd_` and what bindings begin with,
/// or of a credential.
#[must_use]
pub fn has_form_of_id(text: &str) -> bool {
    let Some((prefix, rest)) = text.split_once('_') else { return false };
    let prefix = prefix.to_ascii_lowercase();
    // A run's id ends with its epoch.
    let digits = rest.split_once('.').map_or(rest, |(digits, _)| digits);
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if CREDENTIAL_PREFIXES.contains(&prefix.as_str()) {
        return rest.len() >= 32 && rest.bytes().all(base64);
    }
    ID_PREFIXES.contains(&prefix.as_str())
        && ((digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            || (prefix == "bnd" && rest.get(..BINDING.len()).is_some_and(|head| head.eq_ignore_ascii_case(BINDING))))
}

/// The first character of a text that nobody sees: control, format, private, default-ignorable (UAX 44), or one that turns
/// round the reading of others.
#[must_use]
pub fn hidden(text: &str) -> Option<char> {
    if text.is_ascii() { text.chars().find(char::is_ascii_control) } else { text.chars().find(|c| is_hidden(*c)) }
}

/// Whether nobody sees a character, or it turns round what others see. A table of our own, so that the same log gives the
/// same names whichever Unicode version a library knows.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let beyond = u32::from(c);
    c.is_control()
        || matches!(beyond,
            // Default_Ignorable_Code_Point, the bidirectional controls among them.
            0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFF8
            | 0x1_BCA0..=0x1_BCA3 | 0x1_D173..=0x1_D17A | 0xE_0000..=0xE_0FFF
            // Line and paragraph separators, annotations, glyphs without ink.
            | 0x2028..=0x2029 | 0xFFF9..=0xFFFC | 0x2800 | 0x1_D159
            // Private use, and what is no character.
            | 0xE000..=0xF8FF | 0xF_0000..=0x10_FFFF | 0xFDD0..=0xFDEF)
        || beyond & 0xFFFE == 0xFFFE
}

/// What somebody wrote to mean a user or a service: its form says whether it is a name or an id, and nothing is looked up
/// as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerReference<'a> {
    /// What a user is called.
    Name(&'a str),
    /// `source/person`.
    Id(&'a str),
    /// The id of a service.
    Service(&'a str),
}

impl<'a> CallerReference<'a> {
    /// Reads one by its form.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        if let Some(id) = text.strip_prefix(SERVICE) {
            return Self::Service(id);
        }
        let text = text.strip_prefix(USER).unwrap_or(text);
        if text.contains('/') { Self::Id(text) } else { Self::Name(text) }
    }
}

/// What somebody wrote to mean a project: a name has no `/`, an id has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectReference<'a> {
    /// The first path segment of its images.
    Name(&'a str),
    /// `source/package`, `local/id` or `personal/source/person`.
    Id(&'a str),
}

impl<'a> ProjectReference<'a> {
    /// Reads one by its form.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        if text.contains('/') { Self::Id(text) } else { Self::Name(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for text in ["bob", "BOB", " bob ", "ｂｏｂ", "Bob\u{2003}"] {
            assert_eq!(user_name(text).as_deref(), Ok("bob"), "{text}");
        }
        for name in ["ada@corp.example", "corp\\ada", "o'neil", "ada+1", "josé", "小明", "run_time", "sec_ops", "..."]
        {
            assert!(user_name(name).is_ok(), "{name}: {:?}", user_name(name));
        }
    }

    #[test]
    fn no_name_has_the_form_of_an_id_of_any_kind() {
        let hex = "0190a7b2c3d47e8f90a1b2c3d4e5f607";
        for prefix in ID_PREFIXES {
            for id in
                [format!("{prefix}_{hex}"), format!("{prefix}_{hex}.7"), format!(" {}_{hex}", prefix.to_uppercase())]
            {
                assert_eq!(user_name(&id), Err(Unusable::OfAnId), "{id}");
            }
        }
        assert_eq!(user_name("bnd_YmluZGluZy91c2Vy"), Err(Unusable::OfAnId));
        for prefix in CREDENTIAL_PREFIXES {
            let random = "aB3_-".repeat(9);
            assert_eq!(user_name(&format!("{prefix}_{random}")), Err(Unusable::OfAnId));
            assert!(user_name(&format!("{prefix}_deploy-bot")).is_ok());
        }
        for id in [
            "flexnet/bob",
            "local/crew",
            "personal/corp/4711",
            "a\u{FF0F}b",
            "/",
            "flexnet\u{2215}bob",
            "flexnet\u{29F8}bob",
        ] {
            assert_eq!(user_name(id), Err(Unusable::Slash), "{id}");
        }
        for id in [
            "service:ci",
            "user:flexnet/bob",
            "group:corp/g",
            "a\u{FF1A}b",
            "sys:admin",
            "service\u{A789}ci",
            "user\u{2236}bob",
        ] {
            assert_eq!(user_name(id), Err(Unusable::Colon), "{id}");
        }
    }

    #[test]
    fn what_is_not_seen_or_turns_what_is_seen_is_in_no_name() {
        for c in [
            '\u{AD}',
            '\u{200B}',
            '\u{200D}',
            '\u{200E}',
            '\u{202E}',
            '\u{2066}',
            '\u{2069}',
            '\u{FEFF}',
            '\u{3164}',
            '\u{E000}',
            '\u{F0000}',
            '\u{E0041}',
            '\u{FE0F}',
            '\u{2028}',
            '\u{0}',
            '\u{7}',
            '\t',
            '\u{7F}',
            '\u{9B}',
            '\u{61C}',
            '\u{FFFF}',
            '\u{1FFFE}',
            '\u{2800}',
        ] {
            for name in [format!("bo{c}b"), format!("b{c}\u{F6}b")] {
                assert_eq!(user_name(&name), Err(Unusable::Hidden(c)), "{name:?}");
            }
        }
        for (text, why) in
            [("", Unusable::Empty), ("  ", Unusable::Empty), (".", Unusable::Dots), (" .. ", Unusable::Dots)]
        {
            assert_eq!(user_name(text), Err(why), "{text:?}");
        }
        assert_eq!(user_name(&"a".repeat(257)), Err(Unusable::TooLong));
        // U+FDFA becomes eighteen characters in NFKC.
        assert_eq!(user_name(&"\u{FDFA}".repeat(40)), Err(Unusable::TooLong));
    }

    #[test]
    fn whoever_has_only_an_id_is_called_by_it_and_that_is_a_name_too() {
        let long = "x".repeat(300);
        for (id, name) in [
            ("N4", "n4"),
            ("flexnet/bob", "flexnet-bob"),
            ("a:b", "a-b"),
            ("b\u{202E}ob", "b-ob"),
            ("..", ""),
            (&long, ""),
        ] {
            let given = user_name_of_id(id);
            assert_eq!(user_name(&given).as_deref(), Ok(given.as_str()), "{id}");
            assert!(given == name || (name.is_empty() && given.starts_with("person-")), "{id}: {given}");
        }
        assert_ne!(user_name_of_id("."), user_name_of_id(".."));
    }

    #[test]
    fn a_reference_is_a_name_or_an_id_by_its_form_alone() {
        use CallerReference::{Id, Name, Service};
        for (text, read) in [
            ("ada", Name("ada")),
            ("flexnet/ada", Id("flexnet/ada")),
            ("user:flexnet/ada", Id("flexnet/ada")),
            ("user:ada", Name("ada")),
            ("service:ci", Service("ci")),
            ("service:a/b", Service("a/b")),
        ] {
            assert_eq!(CallerReference::of(text), read, "{text}");
        }
        assert_eq!(ProjectReference::of("acme"), ProjectReference::Name("acme"));
        assert_eq!(ProjectReference::of("flexnet/db"), ProjectReference::Id("flexnet/db"));
    }
}
