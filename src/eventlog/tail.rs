//! What every engine's tail shares: the shape of the stream, the filter, the refusal of a position that is not there.
//! Reads nothing itself.

use std::{future::Future, sync::Arc};

use futures_util::{Stream, stream};
use rollcall_events::{Position, Recorded};

use crate::{Filter, Head, TailError};

/// What one step of a tail gives: a page and where to go on.
pub(crate) type Step<S> = Result<(Arc<[Recorded]>, S), TailError>;

/// Pages for as long as `next` gives some; after an error nothing.
pub(crate) fn follow<S, F, Fut>(start: S, mut next: F) -> impl Stream<Item = Result<Arc<[Recorded]>, TailError>>
where
    F: FnMut(S) -> Fut,
    Fut: Future<Output = Step<S>>,
{
    stream::unfold(Some(start), move |state| {
        let step = state.map(&mut next);
        async move {
            match step?.await {
                Ok((page, state)) => Some((Ok(page), Some(state))),
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}

/// Somebody stands at a position that the log does not have: the log is not the one that they read (DESIGN 11.6).
pub(crate) fn beyond(asked: Position, head: Head) -> TailError {
    let what = format!("the log ends at {}, it is shorter than what was read from it before", head.position);
    TailError::Damaged { position: asked, what }
}

/// A record that must be there is not.
pub(crate) fn missing(position: Position) -> TailError {
    TailError::Damaged { position, what: "the record is missing".into() }
}

impl Filter {
    /// Whether a record is what is asked for.
    #[must_use]
    pub fn matches(&self, record: &Recorded) -> bool {
        let event = &record.event;
        let exact = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
        let open = |wanted: &Option<String>, value: &str| match wanted.as_deref() {
            None => true,
            Some(text) => text.strip_suffix('*').map_or(value == text, |prefix| value.starts_with(prefix)),
        };
        exact(&self.source, Some(event.key.source.as_str()))
            && exact(&self.correlation, event.correlation.as_deref())
            && open(&self.kind, &event.kind)
            && open(&self.subject, &event.subject)
    }
}
