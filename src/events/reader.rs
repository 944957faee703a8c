//! Which versions can judge a log. What an older version may pass over asks nothing of it; what it must not pass over has a
//! type of its own, and the log says before the first of them which reader it takes from there on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{Body, EventKey, NewEvent, SourceName, Version, body::ReaderRaised};

/// How much of the vocabulary a version judges. It grows by one with each release that brings an event type, a version or a
/// member of one, which an older release must not pass over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader(pub u32);

/// What takes a later reader than the first.
struct Since {
    kind: &'static str,
    /// Of which data of the type; nothing for all.
    member: Option<&'static str>,
    reader: Reader,
}

const SINCE: &[Since] = &[
    // Times go back across it: whoever does not know that takes the log for damaged.
    Since { kind: "rollcall.log.clock.mended.v1", member: None, reader: Reader(2) },
    // Whoever passes over a parent sees no cycle that it closes, and lets people in by accounts that are nobody's sub-accounts.
    Since { kind: "rollcall.account.upserted.v1", member: Some("parents"), reader: Reader(3) },
    // Whoever passes over it asks nobody to accept anything.
    Since { kind: "rollcall.package.eula.required.v1", member: None, reader: Reader(3) },
];

/// With what the ids of events begin that say which reader a log takes: they are found by it.
pub const READER_RAISED: &str = "reader_";
const KIND: &str = "rollcall.log.reader.raised.v1";

impl Reader {
    /// What every version judges.
    pub const FIRST: Self = Self(1);
    /// What this version judges.
    pub const CURRENT: Self = Self(3);

    /// The oldest that judges an event rightly.
    #[must_use]
    pub fn of(event: &NewEvent) -> Self {
        let takes = |since: &&Since| {
            since.kind == &*event.kind && since.member.is_none_or(|member| has_member(&event.data, member))
        };
        SINCE.iter().find(takes).map_or(Self::FIRST, |since| since.reader)
    }

    /// What is recorded before the first event that takes this reader.
    #[must_use]
    pub fn raised(self) -> NewEvent {
        let body = Body::LogReaderRaised(ReaderRaised { reader: self.0, version: Version::CURRENT.to_string() });
        NewEvent::of(SourceName::local(), format!("{READER_RAISED}{}", self.0), &body)
    }
}

fn has_member(data: &str, member: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, IgnoredAny>>(data).is_ok_and(|members| members.contains_key(member))
}

/// What a log says of who can judge it from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The oldest reader that can.
    pub reader: Reader,
    /// A version that can: the one which recorded this.
    pub version: String,
}

impl Raised {
    /// What an event says of it; nothing where it is about something else. Read by every later version in just this form,
    /// and of every later version's members only these two: an older one must understand a newer one here if nowhere else.
    #[must_use]
    pub fn read(event: &NewEvent) -> Option<Self> {
        let EventKey { source, id } = &event.key;
        if !source.is_local() || &*event.kind != KIND || !id.starts_with(READER_RAISED) {
            return None;
        }
        let ReaderRaised { reader, version } = serde_json::from_str(&event.data).ok()?;
        Some(Self { reader: Reader(reader), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_which_reader_it_takes_is_read_by_every_version_whatever_a_later_one_adds() {
        let mut event = Reader(7).raised();
        let said = |event: &NewEvent| Raised::read(event).map(|raised| raised.reader);
        assert_eq!((said(&event), Reader::of(&event)), (Some(Reader(7)), Reader::FIRST));
        event.data = r#"{"version":"9.1.0","because":["x"],"reader":9}"#.into();
        assert_eq!(Raised::read(&event), Some(Raised { reader: Reader(9), version: "9.1.0".into() }));
        event.key.source = "flexnet".parse().unwrap();
        assert_eq!(said(&event), None, "a source says nothing of the kind");
    }

    #[test]
    fn every_type_takes_a_reader_that_this_version_is() {
        for Since { kind, reader, .. } in SINCE {
            assert!(Body::TYPES.contains(kind) && *reader <= Reader::CURRENT, "{kind}");
        }
        assert!(SINCE.iter().any(|since| since.reader == Reader::CURRENT), "nothing takes this version's reader");
    }

    #[test]
    fn an_account_below_several_takes_a_reader_that_knows_them_and_one_below_one_takes_any() {
        let of = |data: &str| {
            let body = Body::parse("rollcall.account.upserted.v1", data).unwrap();
            let event = NewEvent::of("flexnet".parse().unwrap(), "e".to_owned(), &body);
            Reader::of(&NewEvent { data: data.into(), ..event })
        };
        assert_eq!(of(r#"{"account":"a","kind":"customer","parent":"b","name":"parents"}"#), Reader::FIRST);
        assert_eq!(of(r#"{"account":"a","kind":"customer","parents":["b","c"]}"#), Reader(3));
        assert_eq!(of(r#"{"account":"a","kind":"customer","\u0070arents":["b"]}"#), Reader(3));
    }
}
