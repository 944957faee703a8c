//! Whether a source may be suspended, resumed or retired: it is there, no other than the operator's people say so, and
//! what is retired is so for ever.

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, body::SourceRef};

use crate::{
    commands::refusal::{Refusal, RefusalKind, missing},
    roster::{Roster, handles::Place},
};

impl Roster {
    pub(super) fn check_source(&self, data: &SourceRef, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.authorize(data.author.as_ref(), "source.set", Place::Root, now)?;
        let name = data.source.as_str();
        if name == LOCAL {
            return Err(RefusalKind::Invalid.because("`local` is what Rollcall itself keeps, and no source"));
        }
        let space = self.facts.sources.find(0, name).and_then(|ix| u16::try_from(ix).ok());
        let Some(space) = space else { return Err(missing("source", name)) };
        if self.facts.retired.contains_key(&space) {
            return Err(RefusalKind::Invalid.because(format!("source {name} is retired, for ever")));
        }
        Ok(())
    }
}
