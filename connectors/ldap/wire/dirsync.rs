//! The words of Active Directory's two ways to ask what changed: the DirSync control with its cookie, and change numbers
//! (`uSNChanged`), which count per domain controller; and what both say of an entry. Pure.

use crate::wire::{
    ber::{INTEGER, Malformed, OCTETS, Reader, SEQUENCE, Writer},
    filter::Filter,
    message::{Control, Entry},
};

/// LDAP_SERVER_DIRSYNC_OID.
pub const DIRSYNC: &str = "1.2.840.113556.1.4.841";
/// LDAP_SERVER_SHOW_DELETED_OID.
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// LDAP_DIRSYNC_INCREMENTAL_VALUES: of a long list only what changed in it.
const FLAGS: i64 = -0x8000_0000;
/// So much of an answer in one piece, in bytes; the server says when there is more.
const MAX_REPLY_BYTES: i64 = 1 << 20;

/// Asks what changed since this cookie; of everything without one. What the account may not read may be announced too,
/// and only by its id: each entry is then read like any other.
pub fn request(cookie: &[u8]) -> Control {
    let mut value = Writer::default();
    value.nested(SEQUENCE, |w| _ = w.integer(INTEGER, FLAGS).integer(INTEGER, MAX_REPLY_BYTES).octets(OCTETS, cookie));
    Control { oid: DIRSYNC.to_owned(), critical: true, value: Some(value.bytes) }
}

/// Asks for deleted entries too.
pub fn show_deleted() -> Control {
    Control { oid: SHOW_DELETED.to_owned(), critical: true, value: None }
}

/// What comes with the end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether there is more to fetch with this cookie.
    pub more: bool,
    pub cookie: Vec<u8>,
}

impl Reply {
    /// Of a result's controls.
    pub fn of(controls: &[Control]) -> Result<Self, Malformed> {
        let value = controls.iter().find(|control| control.oid == DIRSYNC).and_then(|control| control.value.as_deref());
        let value = value.ok_or(Malformed("changes without a cookie"))?;
        let mut content = Reader::new(Reader::new(value).expect(SEQUENCE, "a DirSync control that is none")?);
        let more = content.integer(INTEGER, "a DirSync control that does not say whether there is more")? != 0;
        content.integer(INTEGER, "a DirSync control without its second number")?;
        let cookie = content.expect(OCTETS, "a DirSync control without a cookie")?.to_vec();
        Ok(Self { more, cookie })
    }
}

/// What changed from this change number on.
pub fn changed_from(number: u64) -> Filter {
    Filter::AtLeast("uSNChanged".to_owned(), number.to_string().into_bytes())
}

/// What is said of an entry that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Made, changed, or given another name or place.
    Changed,
    /// It may have entries below it: they have another name when it has, and nothing is said of them.
    Container,
    /// It is a tombstone.
    Deleted,
}

impl Announced {
    /// Of an entry that was announced. DirSync says only what changed of it: a new name, and not of which class it is.
    pub fn of(entry: &Entry) -> Self {
        let named = entry.values("objectClass").is_empty() && !entry.values("name").is_empty();
        if entry.text("isDeleted").is_some_and(|text| text.eq_ignore_ascii_case("TRUE")) {
            Self::Deleted
        } else if named || entry.is("organizationalUnit") || entry.is("container") {
            Self::Container
        } else {
            Self::Changed
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(value: &[u8]) -> Result<Reply, Malformed> {
        Reply::of(&[Control { oid: DIRSYNC.to_owned(), critical: false, value: Some(value.to_vec()) }])
    }

    #[test]
    fn a_request_is_flags_a_size_and_a_cookie() {
        let value = request(b"abc").value.unwrap();
        assert_eq!(value, b"\x30\x10\x02\x04\x80\x00\x00\x00\x02\x03\x10\x00\x00\x04\x03abc");
    }

    #[test]
    fn a_reply_says_whether_there_is_more() {
        let good = b"\x30\x0a\x02\x01\x01\x02\x01\x00\x04\x02ab";
        assert_eq!(reply(good), Ok(Reply { more: true, cookie: b"ab".to_vec() }));
        assert_eq!(reply(b"\x30\x08\x02\x01\x00\x02\x01\x00\x04\x00"), Ok(Reply { more: false, cookie: Vec::new() }));
        for at in 0..good.len() {
            assert!(reply(&good[..at]).is_err(), "cut at {at}");
        }
        assert!(Reply::of(&[]).is_err());
    }

    #[test]
    fn an_announced_entry_is_changed_a_container_or_deleted() {
        let of = |attributes: &[(&str, &str)]| {
            let attributes =
                attributes.iter().map(|(name, value)| (name.to_lowercase(), vec![value.as_bytes().to_vec()]));
            Announced::of(&Entry { dn: String::new(), attributes: attributes.collect() })
        };
        assert_eq!(of(&[]), Announced::Changed);
        assert_eq!(of(&[("isDeleted", "FALSE"), ("objectClass", "user")]), Announced::Changed);
        assert_eq!(of(&[("objectClass", "organizationalUnit")]), Announced::Container);
        assert_eq!(of(&[("name", "deep")]), Announced::Container);
        assert_eq!(of(&[("name", "ada"), ("objectClass", "user")]), Announced::Changed);
        assert_eq!(of(&[("isDeleted", "TRUE"), ("objectClass", "container")]), Announced::Deleted);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = reply(&value);
        }
    }
}
