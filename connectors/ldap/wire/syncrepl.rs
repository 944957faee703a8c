//! The words of RFC 4533: what we ask for, what a server says of an entry, how a refresh ends; and what a refresh means,
//! which does not follow from its flags alone. Pure.

use crate::wire::{
    ber::{BOOLEAN, ENUMERATED, Malformed, OCTETS, Reader, SEQUENCE, SET, Writer, boolean},
    message::Control,
};

/// The control of a sync request (RFC 4533).
pub const SYNC: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// The name of the intermediate message.
const INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";
/// e-syncRefreshRequired.
pub const REFRESH_REQUIRED: u32 = 4096;

/// Asks for a refresh and everything after it.
pub fn request(cookie: Option<&[u8]>) -> Control {
    let mut value = Writer::default();
    value.nested(SEQUENCE, |w| {
        w.integer(ENUMERATED, 3);
        cookie.iter().for_each(|cookie| _ = w.octets(OCTETS, cookie));
    });
    Control { oid: SYNC.to_owned(), critical: true, value: Some(value.bytes) }
}

/// What an entry's control says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Present,
    Add,
    Modify,
    Delete,
}

/// An entry's control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub change: Change,
    pub uuid: [u8; 16],
    pub cookie: Option<Vec<u8>>,
}

impl State {
    /// Of an entry's controls.
    pub fn of(controls: &[Control]) -> Result<Self, Malformed> {
        let value = controls.iter().find(|control| control.oid == STATE).and_then(|control| control.value.as_deref());
        let value = value.ok_or(Malformed("an entry without its sync state"))?;
        let mut content = Reader::new(Reader::new(value).expect(SEQUENCE, "a sync state that is none")?);
        let change = match content.integer(ENUMERATED, "a sync state without a state")? {
            0 => Change::Present,
            1 => Change::Add,
            2 => Change::Modify,
            3 => Change::Delete,
            _ => return Err(Malformed("a sync state of an unknown kind")),
        };
        let uuid = uuid(content.expect(OCTETS, "a sync state without an id")?)?;
        Ok(Self { change, uuid, cookie: content.optional(OCTETS)?.map(<[u8]>::to_vec) })
    }
}

fn uuid(bytes: &[u8]) -> Result<[u8; 16], Malformed> {
    bytes.try_into().map_err(|_| Malformed("an id that is no UUID"))
}

/// What a server says between entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Info {
    /// Only a new cookie.
    Cookie(Vec<u8>),
    /// A phase ends; deletions were said explicitly.
    Deletes { cookie: Option<Vec<u8>>, done: bool },
    /// A phase ends; what was neither sent nor listed is gone.
    Presents { cookie: Option<Vec<u8>>, done: bool },
    /// Ids that are gone (`deleted`), or that are as they were.
    Ids { cookie: Option<Vec<u8>>, deleted: bool, ids: Vec<[u8; 16]> },
}

impl Info {
    /// Of an intermediate message; `None` for one about something else.
    pub fn of(name: Option<&str>, value: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        if name != Some(INFO) {
            return Ok(None);
        }
        let (tag, content) =
            Reader::new(value.unwrap_or_default()).any()?.ok_or(Malformed("a sync message without content"))?;
        if tag == 0x80 {
            return Ok(Some(Self::Cookie(content.to_vec())));
        }
        let mut content = Reader::new(content);
        let cookie = content.optional(OCTETS)?.map(<[u8]>::to_vec);
        let flag = content.optional(BOOLEAN)?.map(boolean).transpose()?;
        Ok(Some(match tag {
            0xa1 => Self::Deletes { cookie, done: flag.unwrap_or(true) },
            0xa2 => Self::Presents { cookie, done: flag.unwrap_or(true) },
            0xa3 => {
                let mut set = Reader::new(content.expect(SET, "a sync id set without ids")?);
                let mut ids = Vec::new();
                while let Some((_, bytes)) = set.any()? {
                    ids.push(uuid(bytes)?);
                }
                Self::Ids { cookie, deleted: flag.unwrap_or(false), ids }
            }
            _ => return Err(Malformed("a sync message of an unknown kind")),
        }))
    }

    pub fn cookie(&self) -> Option<&[u8]> {
        match self {
            Self::Cookie(cookie) => Some(cookie),
            Self::Deletes { cookie, .. } | Self::Presents { cookie, .. } | Self::Ids { cookie, .. } => {
                cookie.as_deref()
            }
        }
    }
}

/// What a finished refresh means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Everything came: what did not is gone. A conclusion from silence.
    Whole,
    /// What changed came, and what was deleted was said.
    Delta,
    /// Our cookie was not honoured, whatever the server says of the refresh.
    Unknown,
    /// The server does not know what was deleted: it lists what is there. That is no proof that the rest is as we know it:
    /// a server that was restored and written to since looks the same.
    Forgotten,
}

/// Table 4.1. `sent`: whether we sent a cookie. `cookie`: the last one that came. `present`: whether a present phase was
/// seen.
pub fn meaning(sent: bool, cookie: Option<&[u8]>, present: bool) -> Meaning {
    match (sent, cookie) {
        (false, _) => Meaning::Whole,
        (true, Some([])) => Meaning::Unknown,
        (true, _) if present => Meaning::Forgotten,
        (true, _) => Meaning::Delta,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(value: &[u8]) -> Info {
        Info::of(Some(INFO), Some(value)).unwrap().unwrap()
    }

    #[test]
    fn messages_between_entries_are_read() {
        assert_eq!(info(b"\x80\x03abc"), Info::Cookie(b"abc".to_vec()));
        assert_eq!(info(b"\xa1\x00"), Info::Deletes { cookie: None, done: true });
        assert_eq!(info(b"\xa2\x06\x04\x01c\x01\x01\x00"), Info::Presents { cookie: Some(b"c".to_vec()), done: false });
        let mut set = b"\xa3\x17\x01\x01\xff\x31\x12\x04\x10".to_vec();
        set.extend([7; 16]);
        assert_eq!(info(&set), Info::Ids { cookie: None, deleted: true, ids: vec![[7; 16]] });
        assert_eq!(Info::of(Some("1.2.3"), None), Ok(None));
        for garbage in [&b""[..], b"\xa3\x00", b"\xa4\x00", b"\xa3\x05\x31\x03\x04\x01x"] {
            assert!(Info::of(Some(INFO), Some(garbage)).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn l12_what_a_refresh_means_follows_from_whether_our_cookie_was_honoured() {
        assert_eq!(meaning(false, Some(b"new"), true), Meaning::Whole, "no cookie sent: everything");
        assert_eq!(meaning(true, None, false), Meaning::Delta, "nothing changed: no cookie comes");
        assert_eq!(meaning(true, Some(b"new"), false), Meaning::Delta);
        assert_eq!(meaning(true, Some(b"new"), true), Meaning::Forgotten, "a present phase");
        assert_eq!(meaning(true, Some(b""), false), Meaning::Unknown, "garbage: an empty cookie comes back");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Info::of(Some(INFO), Some(&value));
            let _ = State::of(&[Control { oid: STATE.to_owned(), critical: false, value: Some(value) }]);
        }
    }
}
