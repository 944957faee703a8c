//! What a connector is whose source Rollcall reads: full reads, looking up single subjects, following.
//! It is handed a snapshot builder to add facts to and the time, nothing else.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest};

use super::{ChangeSink, Fact, Failure, Snapshot, SnapshotBuilder};

/// A source that is read, configured. Its facts are ordered as `observed`.
///
/// Every method may be dropped at any await (the process stops) and may panic (its run is aborted): nothing that it
/// added counts before the snapshot is sealed. Timeouts of connections and of single answers are its own.
#[async_trait]
pub trait Pull: Send + Sync + 'static {
    /// What is read, as far as it changes the answer; no secrets, no addresses of replicas. Where who is there and in which
    /// group is read otherwise than in the last applied run, the next run is only a plan; where only links are, what they
    /// say is.
    fn scope(&self) -> Scope;

    /// Reads everything into the builder and seals it.
    ///
    /// # Errors
    /// Why nothing can be concluded from this read. Nothing that was added counts then.
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure>;

    /// Looks single subjects up, one answer for each, in order. Asked for subjects about which something was recorded
    /// while a full read ran, for what is to end because it was not named, and for what is given, but by the first read.
    /// Each is given as the fact that was stated last (or its end), or that is to be recorded.
    ///
    /// # Errors
    /// Nothing is known of any of them; they are left as they are.
    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        let _ = now;
        Ok(vec![LookupAnswer::Unsupported; subjects.len()])
    }

    /// Whether [`Pull::follow`] does something.
    fn follows(&self) -> bool {
        false
    }

    /// Follows the source for as long as it can, from what was saved last ([`ChangeSink::resume_point`]), and says why
    /// it ended. It is called again after a pause, so it need not try again itself.
    async fn follow(&self, sink: ChangeSink) -> Failure {
        let _ = sink;
        Failure::Unreachable("this source cannot be followed".to_owned())
    }
}

/// What is read, as digests of its parts: who is there and in which group, whom links say people to be, and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    who: String,
    links: String,
    labels: String,
}

impl Scope {
    /// What decides who is there and in which group: bases, filters, the attributes of ids and user names. Parts in this
    /// order; each keeps its own bounds.
    #[must_use]
    pub fn of<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> Self {
        Self { who: digest(parts), links: String::new(), labels: String::new() }
    }

    /// What says whom its people are in other sources. Without parts nothing does.
    #[must_use]
    pub fn with_links<S: AsRef<str>>(self, parts: impl IntoIterator<Item = S>) -> Self {
        let links = parts.into_iter().collect::<Vec<_>>();
        if links.is_empty() { self } else { Self { links: format!("+{}", digest(links)), ..self } }
    }

    /// What says how people and groups are called beside their names. It changes nobody's access, so nobody looks at it.
    #[must_use]
    pub fn with_labels<S: AsRef<str>>(self, parts: impl IntoIterator<Item = S>) -> Self {
        Self { labels: format!("-{}", digest(parts)), ..self }
    }

    /// What a run records that was applied: SHA-256, hexadecimal, and behind `+` that of the links, where there are any.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{}{}", self.who, self.links)
    }

    /// What a follower's cursor is good for: all of it.
    #[must_use]
    pub(crate) fn cursor_digest(&self) -> String {
        format!("{}{}{}", self.who, self.links, self.labels)
    }

    /// Whether who is there is read as in a run of this digest.
    #[must_use]
    pub(crate) fn reads_the_same_people(&self, applied: &str) -> bool {
        applied.split('+').next() == Some(&self.who)
    }
}

/// SHA-256 of parts, hexadecimal.
fn digest<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut all = String::new();
    for part in parts {
        let part = part.as_ref();
        all.push_str(&format!("{}:{part}\n", part.len()));
    }
    Digest::of(all.as_bytes()).to_string()
}

/// What a look-up of one subject came to.
#[derive(Debug, Clone, PartialEq)]
pub enum LookupAnswer {
    /// The source states this of it.
    Found(Fact),
    /// The source says that it is no more. Where it may just not be visible any more, say [`LookupAnswer::Unknown`].
    Gone,
    /// The source does not know it any more, or does not show it to us, for this reason. It is left as it is, unless a
    /// whole read concludes otherwise.
    Unknown(String),
    /// The source did not answer the question, for this reason. Nothing is concluded, by nobody.
    Unanswered(String),
    /// The source is only read as a whole: what such a read says is all that there is.
    Unsupported,
}
