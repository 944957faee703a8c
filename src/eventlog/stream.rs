//! The shape of every engine's tail: pages until the first error. Reads nothing itself.

use std::{future::Future, sync::Arc};

use futures_util::{Stream, stream};
use rollcall_events::Recorded;

use crate::TailError;

/// What one step of a tail gives: a page, and the state to go on from.
pub(crate) type Step<S> = Result<(Arc<[Recorded]>, S), TailError>;

/// Pages for as long as `next` gives some; nothing after an error.
pub(crate) fn stream_pages<S, F, Fut>(start: S, mut next: F) -> impl Stream<Item = Result<Arc<[Recorded]>, TailError>>
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
