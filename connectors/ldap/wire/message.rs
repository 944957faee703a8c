//! LDAP messages (RFC 4511): what we ask, written; what a server answers, read. Strict, without a panic, and without a
//! view on what an answer means.

use crate::wire::{
    ber::{self, BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, Writer},
    filter::Filter,
};

/// Result code unavailableCriticalExtension: a control that the server does not take as it is sent.
pub const UNAVAILABLE_EXTENSION: u32 = 12;
/// Result code noSuchObject.
pub const NO_SUCH_OBJECT: u32 = 32;

const CONTROLS: u8 = 0xa0;

/// How many controls one message has at most. Servers send one or two; an empty one takes four bytes on the wire and many
/// times that in memory.
const MAX_CONTROLS: usize = 64;

/// How many attributes and values one entry has at most together: as many as 64 MiB hold of names. An empty one takes two
/// bytes on the wire and twelve times that in memory.
const MAX_VALUES: usize = 1 << 21;

/// An extension of a request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub oid: String,
    pub critical: bool,
    pub value: Option<Vec<u8>>,
}

/// How far below the base a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Base = 0,
    Subtree = 2,
}

/// What is asked of a search.
#[derive(Debug, Clone)]
pub struct Search {
    pub base: String,
    pub scope: Scope,
    pub filter: Filter,
    pub attributes: Vec<String>,
    /// What is asked besides, of every page.
    pub controls: Vec<Control>,
    /// At most so many entries; 0 is no limit.
    pub limit: u32,
}

/// RFC 4511, 4.5.1.3: whether aliases are followed.
const DEREF_NEVER: i64 = 0;
const DEREF_BASE: i64 = 2;

/// One request.
#[derive(Debug)]
pub enum Request<'a> {
    Bind {
        dn: &'a str,
        password: &'a [u8],
    },
    /// SASL EXTERNAL: the client certificate says who we are. With empty credentials: without any a server asks for them.
    BindExternal,
    Unbind,
    Search(&'a Search),
    Extended {
        oid: &'a str,
    },
}

impl Request<'_> {
    /// The whole message.
    pub fn encode(&self, id: i64, controls: &[Control]) -> Vec<u8> {
        let mut out = Writer::default();
        out.nested(SEQUENCE, |w| {
            w.integer(INTEGER, id);
            self.operation(w);
            if !controls.is_empty() {
                w.nested(CONTROLS, |w| controls.iter().for_each(|control| control.write(w)));
            }
        });
        out.bytes
    }

    fn operation(&self, w: &mut Writer) {
        match self {
            Self::Bind { dn, password } => {
                w.nested(0x60, |w| _ = w.integer(INTEGER, 3).octets(OCTETS, dn.as_bytes()).octets(0x80, password));
            }
            Self::BindExternal => {
                w.nested(0x60, |w| {
                    w.integer(INTEGER, 3)
                        .octets(OCTETS, b"")
                        .nested(0xa3, |w| _ = w.octets(OCTETS, b"EXTERNAL").octets(OCTETS, b""));
                });
            }
            Self::Unbind => _ = w.octets(0x42, b""),
            Self::Search(search) => {
                w.nested(0x63, |w| {
                    w.octets(OCTETS, search.base.as_bytes());
                    w.integer(ENUMERATED, search.scope as i64);
                    // An alias is a name of the entry that is asked for, and none of those that are found below one.
                    w.integer(ENUMERATED, if matches!(search.scope, Scope::Base) { DEREF_BASE } else { DEREF_NEVER });
                    w.integer(INTEGER, i64::from(search.limit)).integer(INTEGER, 0).boolean(BOOLEAN, false);
                    search.filter.write(w);
                    w.nested(SEQUENCE, |w| {
                        search.attributes.iter().for_each(|name| _ = w.octets(OCTETS, name.as_bytes()));
                    });
                });
            }
            Self::Extended { oid } => _ = w.nested(0x77, |w| _ = w.octets(0x80, oid.as_bytes())),
        }
    }
}

impl Control {
    fn write(&self, w: &mut Writer) {
        w.nested(SEQUENCE, |w| {
            w.octets(OCTETS, self.oid.as_bytes());
            if self.critical {
                w.boolean(BOOLEAN, true);
            }
            self.value.iter().for_each(|value| _ = w.octets(OCTETS, value));
        });
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: u32,
    /// What the server says to it, clipped.
    pub message: String,
}

/// An entry as it came: names as text, values as bytes, because an id that happens to be UTF-8 is still bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub dn: String,
    /// Attribute descriptions in lower case, with their options.
    pub attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// The values of an attribute, by its name in any case.
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// The first value that is text and not blank.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values(name)
            .iter()
            .filter_map(|value| std::str::from_utf8(value).ok())
            .find(|text| !text.trim().is_empty())
    }

    /// All values that are text.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether it is of this class.
    pub fn is(&self, class: &str) -> bool {
        self.texts("objectClass").any(|known| known.eq_ignore_ascii_case(class))
    }
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Entry(Entry),
    /// Entries of other servers, which are not ours to read.
    Reference,
    Done(Outcome),
    Bound(Outcome),
    Extended(Outcome, Option<String>),
    Intermediate(Option<String>, Option<Vec<u8>>),
    /// An answer to something that we never ask.
    Other,
}

/// One message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: i64,
    pub reply: Reply,
    pub controls: Vec<Control>,
}

impl Message {
    /// Reads the content of a message's sequence.
    pub fn decode(content: &[u8]) -> Result<Self, Malformed> {
        let mut message = Reader::new(content);
        let id = message.integer(INTEGER, "a message without a number")?;
        let (tag, content) = message.any()?.ok_or(Malformed("a message without an operation"))?;
        let reply = reply(tag, Reader::new(content))?;
        let mut controls = Vec::new();
        // Active Directory puts something else here in its notice of disconnection.
        if let Some(list) = message.optional(CONTROLS)? {
            let mut list = Reader::new(list);
            while let Some((tag, content)) = list.any()? {
                if tag != SEQUENCE {
                    return Err(Malformed("a control that is none"));
                }
                if controls.len() == MAX_CONTROLS {
                    return Err(Malformed("more controls than a message has"));
                }
                let mut control = Reader::new(content);
                let oid = control.text(OCTETS, "a control without a name")?.to_owned();
                let critical = control.optional(BOOLEAN)?.map(ber::boolean).transpose()?.unwrap_or(false);
                let value = control.optional(OCTETS)?.map(<[u8]>::to_vec);
                controls.push(Control { oid, critical, value });
            }
        }
        Ok(Self { id, reply, controls })
    }
}

fn reply(tag: u8, mut content: Reader<'_>) -> Result<Reply, Malformed> {
    Ok(match tag {
        0x61 => Reply::Bound(outcome(&mut content)?),
        0x64 => Reply::Entry(entry(&mut content)?),
        0x65 => Reply::Done(outcome(&mut content)?),
        0x73 => Reply::Reference,
        0x78 => {
            let outcome = outcome(&mut content)?;
            let _ = content.optional(0xa3)?;
            let name = content.optional(0x8a)?.map(|name| String::from_utf8_lossy(name).into_owned());
            Reply::Extended(outcome, name)
        }
        0x79 => {
            let name = content.optional(0x80)?.map(|name| String::from_utf8_lossy(name).into_owned());
            Reply::Intermediate(name, content.optional(0x81)?.map(<[u8]>::to_vec))
        }
        _ => Reply::Other,
    })
}

fn outcome(content: &mut Reader<'_>) -> Result<Outcome, Malformed> {
    let code = content.integer(ENUMERATED, "a result without a code")?;
    let code = u32::try_from(code).map_err(|_| Malformed("a result code that is none"))?;
    content.expect(OCTETS, "a result without a matched name")?;
    let message = content.expect(OCTETS, "a result without a message")?;
    let message = String::from_utf8_lossy(message).chars().filter(|c| !c.is_control()).take(200).collect();
    Ok(Outcome { code, message })
}

fn entry(content: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let dn = content.text(OCTETS, "an entry whose name is no UTF-8")?.to_owned();
    let mut list = Reader::new(content.expect(SEQUENCE, "an entry without attributes")?);
    let mut attributes: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    let mut room = MAX_VALUES;
    let mut more = || {
        room = room.checked_sub(1).ok_or(Malformed("more values than an entry has"))?;
        Ok(())
    };
    while let Some((tag, content)) = list.any()? {
        more()?;
        if tag != SEQUENCE {
            return Err(Malformed("an attribute that is none"));
        }
        let mut attribute = Reader::new(content);
        let name = attribute.text(OCTETS, "an attribute whose name is no UTF-8")?.to_ascii_lowercase();
        let mut set = Reader::new(attribute.expect(SET, "an attribute without values")?);
        let mut values = Vec::new();
        while let Some((tag, value)) = set.any()? {
            if tag != OCTETS {
                return Err(Malformed("a value that is none"));
            }
            more()?;
            values.push(value.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Entry { dn, attributes })
}

/// The paged results control (RFC 2696), critical: a server that does not know it must refuse, not answer in part.
pub const PAGED: &str = "1.2.840.113556.1.4.319";

pub fn paged(size: u32, cookie: &[u8]) -> Control {
    let mut value = Writer::default();
    value.nested(SEQUENCE, |w| _ = w.integer(INTEGER, i64::from(size)).octets(OCTETS, cookie));
    Control { oid: PAGED.to_owned(), critical: true, value: Some(value.bytes) }
}

/// The cookie of an answer to a paged search; empty after the last page.
pub fn page_cookie(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut content = Reader::new(Reader::new(value).expect(SEQUENCE, "a page control that is none")?);
    content.integer(INTEGER, "a page control without a size")?;
    Ok(content.expect(OCTETS, "a page control without a cookie")?.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bare(bytes: &[u8]) -> &[u8] {
        Reader::new(bytes).expect(SEQUENCE, "").unwrap()
    }

    #[test]
    fn a_bind_is_what_rfc_4511_says() {
        let bytes = Request::Bind { dn: "cn=a", password: b"pw" }.encode(1, &[]);
        assert_eq!(bytes, b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw");
        assert_eq!(Request::Unbind.encode(2, &[]), [0x30, 5, 2, 1, 2, 0x42, 0]);
    }

    #[test]
    fn an_entry_keeps_bytes_and_finds_names_in_any_case() {
        let mut w = Writer::default();
        w.nested(SEQUENCE, |w| {
            w.integer(INTEGER, 7).nested(0x64, |w| {
                w.octets(OCTETS, b"cn=x").nested(SEQUENCE, |w| {
                    w.nested(SEQUENCE, |w| {
                        w.octets(OCTETS, b"objectGUID").nested(SET, |w| _ = w.octets(OCTETS, b"0123456789abcdef"));
                    });
                });
            });
        });
        let message = Message::decode(bare(&w.bytes)).unwrap();
        let Reply::Entry(entry) = message.reply else { panic!() };
        assert_eq!(entry.values("OBJECTguid"), [b"0123456789abcdef".to_vec()]);
    }

    #[test]
    fn a_disconnection_as_active_directory_writes_it_is_read() {
        // Its name stands where controls belong.
        let mut w = Writer::default();
        w.integer(INTEGER, 0)
            .nested(0x78, |w| _ = w.integer(ENUMERATED, 52).octets(OCTETS, b"").octets(OCTETS, b"bye"));
        w.octets(0x8a, b"1.3.6.1.4.1.1466.20036");
        let message = Message::decode(&w.bytes).unwrap();
        assert!(matches!(message.reply, Reply::Extended(Outcome { code: 52, .. }, None)));
    }

    /// A message without an operation that we know, and this in the place of its controls.
    fn with_controls(content: &[u8]) -> Result<Message, Malformed> {
        let mut w = Writer::default();
        w.integer(INTEGER, 7).octets(0x73, b"").octets(CONTROLS, content);
        Message::decode(&w.bytes)
    }

    #[test]
    fn a27_a_malformed_control_is_refused_before_it_takes_any_memory() {
        let control = Control { oid: PAGED.to_owned(), critical: true, value: Some(vec![7; 300]) };
        let mut w = Writer::default();
        w.nested(SEQUENCE, |w| _ = w.octets(OCTETS, PAGED.as_bytes()).boolean(BOOLEAN, true).octets(OCTETS, &[7; 300]));
        assert_eq!(with_controls(&w.bytes).map(|message| message.controls), Ok(vec![control]));
        // Cut anywhere, it is refused; so is every length that is not there, for a control, its name and its value.
        for at in 1..w.bytes.len() {
            assert!(with_controls(&w.bytes[..at]).is_err(), "cut at {at}");
        }
        for length in [&[0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            for before in [&[SEQUENCE][..], &[SEQUENCE, 0x20, OCTETS], &[SEQUENCE, 0x20, OCTETS, 0, OCTETS]] {
                let mut bytes = [before, length].concat();
                bytes.resize(34, 0);
                assert!(with_controls(&bytes).is_err(), "{bytes:x?}");
            }
        }
        // Lengths without end and of none are no lengths.
        assert!(with_controls(&[SEQUENCE, 0x80, 0, 0]).is_err() && with_controls(&[SEQUENCE, 0xff, 0, 0]).is_err());
    }

    #[test]
    fn a27_a_message_has_no_more_controls_than_servers_send() {
        let empty = [SEQUENCE, 2, OCTETS, 0];
        assert_eq!(with_controls(&empty.repeat(MAX_CONTROLS)).map(|message| message.controls.len()), Ok(64));
        let many = Malformed("more controls than a message has");
        assert_eq!(with_controls(&empty.repeat(MAX_CONTROLS + 1)), Err(many));
        assert_eq!(with_controls(&empty.repeat(1 << 20)), Err(many));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
            let _ = page_cookie(&bytes);
        }

        #[test]
        fn a_flipped_byte_is_a_message_or_malformed(at in 0_usize..60, with in any::<u8>()) {
            let mut w = Writer::default();
            w.integer(INTEGER, 7).nested(0x64, |w| {
                w.octets(OCTETS, b"uid=ada,dc=ex,dc=test").nested(SEQUENCE, |w| {
                    w.nested(SEQUENCE, |w| {
                        w.octets(OCTETS, b"uid").nested(SET, |w| _ = w.octets(OCTETS, b"ada").octets(OCTETS, b"lovelace"));
                    });
                });
            });
            if let Some(byte) = w.bytes.get_mut(at) {
                *byte = with;
            }
            let _ = Message::decode(&w.bytes);
        }
    }
}
