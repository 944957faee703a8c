//! Which versions can judge a log. What an older version may pass over asks nothing of it; what it must not pass over has a
//! type of its own, and the log says before the first of them which reader it takes from there on.

use serde::{Deserialize, Serialize};

use crate::{Body, EventKey, NewEvent, SourceName, Version, body::ReaderRaised};

/// How much of the vocabulary a version judges. It grows by one with each release that brings an event type, or a version of
/// one, which an older release must not pass over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reader(pub u32);

/// Since which reader there is a type. What stands not here is of the first.
const SINCE: &[(&str, Reader)] = &[
    // Times go back across it: whoever does not know that takes the log for damaged.
    ("rollcall.log.clock.mended.v1", Reader(2)),
];

/// With what the ids of events begin that say which reader a log takes: they are found by it.
pub const READER_RAISED: &str = "reader_";
const KIND: &str = "rollcall.log.reader.raised.v1";

impl Reader {
    /// What every version judges.
    pub const FIRST: Self = Self(1);
    /// What this version judges.
    pub const CURRENT: Self = Self(2);

    /// The oldest that judges an event rightly.
    #[must_use]
    pub fn of(event: &NewEvent) -> Self {
        SINCE.iter().find(|(kind, _)| *kind == &*event.kind).map_or(Self::FIRST, |(_, reader)| *reader)
    }

    /// What is recorded before the first event that takes this reader.
    #[must_use]
    pub fn raised(self) -> NewEvent {
        let body = Body::LogReaderRaised(ReaderRaised { reader: self.0, version: Version::CURRENT.to_string() });
        NewEvent::of(SourceName::local(), format!("{READER_RAISED}{}", self.0), &body)
    }
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
        for (kind, reader) in SINCE {
            assert!(Body::TYPES.contains(kind) && *reader <= Reader::CURRENT, "{kind}");
        }
        assert!(SINCE.iter().any(|(_, reader)| *reader == Reader::CURRENT), "nothing takes this version's reader");
    }
}
