//! The shape of every engine's tail: pages until the first error. Reads nothing itself.

use std::{future::Future, sync::Arc};

use futures_util::{Stream, stream};
use rollcall_events::{Position, Recorded};

use crate::{PAGE_BYTES, TailError};

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

/// The records at some positions, page by page. `read` gives as many of the first as fit a page, and at least one, and the
/// positions of the others.
pub(crate) fn stream_records<F, Fut>(
    mut positions: Vec<Position>,
    mut read: F,
) -> impl Stream<Item = Result<Vec<Recorded>, TailError>>
where
    F: FnMut(Vec<Position>) -> Fut,
    Fut: Future<Output = Result<(Vec<Recorded>, Vec<Position>), TailError>>,
{
    positions.sort_unstable();
    positions.dedup();
    stream::unfold(positions, move |left| {
        let step = (!left.is_empty()).then(|| read(left));
        async move {
            match step?.await {
                Ok((page, left)) => Some((Ok(page), left)),
                Err(error) => Some((Err(error), Vec::new())),
            }
        }
    })
}

/// As many of the first records as fit a page, and at least one.
pub(crate) fn fitting(records: impl Iterator<Item = Recorded>) -> Vec<Recorded> {
    let mut bytes = 0;
    let mut page = Vec::new();
    for record in records {
        bytes += record.event.bytes();
        if bytes > PAGE_BYTES && !page.is_empty() {
            break;
        }
        page.push(record);
    }
    page
}
