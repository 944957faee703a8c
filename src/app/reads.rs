//! The capability to ask: what queries of this crate reach for an admitted caller. Appends nothing.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, Principal, Roster, SharedRoster, Stale};
use rollcall_eventlog::Tail;
use rollcall_events::{LogId, Position};
use rollcall_ingest::{Receiver, Runners};
use rollcall_store::ops::{DecisionKind, DecisionOutcome, DecisionRow, Ops};

use crate::{
    App, Caller, Control, Page, SignedIn,
    answer::NextKeys,
    caller::{CallerView, Giver},
    error::{ErrorKind, Result},
    question::Question,
    random::random_id,
    turn::{Awaited, Turn},
};

/// How many rows of the roster a list looks at before whoever folds may go on.
const PART: u32 = 1024;
/// How many rows of an answer are put together at a time.
const ROWS: usize = 64;

/// Which rows of a table are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The first.
    pub from: u32,
    /// How many.
    pub rows: u32,
}

/// The capability to ask. Got by [`App::admit`].
#[derive(Clone)]
pub struct Reads {
    app: Arc<App>,
    signed_in: SignedIn,
}

impl Reads {
    pub(crate) fn new(app: Arc<App>, signed_in: SignedIn) -> Self {
        Self { app, signed_in }
    }

    /// How far the roster has folded the log.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.app.applied()
    }

    /// How long the roster has been behind the log.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.app.control.lag(self.now())
    }

    /// Which log this is.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.app.log_id()
    }

    /// The registry that tokens are for, as its clients name it, where the configuration says so.
    pub(crate) fn registry(&self) -> Option<&str> {
        self.app.registry.as_deref()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.app.now()
    }

    /// What the caller sees of a roster.
    pub(crate) fn view<'a>(&self, roster: &'a Roster) -> CallerView<'a> {
        self.signed_in.caller.view(roster, self.now())
    }

    /// Who calls, for work that is done off the thread.
    pub(crate) fn caller(&self) -> Caller {
        self.signed_in.caller.clone()
    }

    /// Who would give commands, and with what.
    pub(crate) fn giver(&self) -> Giver {
        self.signed_in.giver()
    }

    /// Why nothing is decided by the roster now.
    #[must_use]
    pub fn stale(&self) -> Option<Stale> {
        self.app.freshness.may_decide(self.now()).err()
    }

    /// Hands a decision over to be kept, and gives its id. There is none while nobody knows whether the roster is what the log
    /// says, nor at a time that is over: no interface answers then what another one refuses to.
    pub(crate) fn record_decision(
        &self,
        roster: &Roster,
        principal: Principal,
        question: &Question<'_>,
        allowed: bool,
    ) -> Result<String> {
        let now = self.now();
        self.app.freshness.may_decide(now).map_err(|stale| {
            let text = format!("Nothing can be decided now: {stale}. `/readyz?verbose` says more. Try again shortly.");
            ErrorKind::Unavailable.because(text).retry_after(1)
        })?;
        let images = match question.scope.find(roster) {
            Some(_) => question.images(),
            // Of names that are invented there is no end.
            None => Vec::new(),
        };
        let question = question.by_name(roster);
        let asked = question.text();
        let id = random_id("dec", now)?;
        let (user_id, user_name) = match principal {
            Principal::Anyone => (None, None),
            known => {
                let (id, name) = roster.caller_names(known);
                (Some(id), Some(name))
            }
        };
        self.app.decisions.offer(DecisionRow {
            id: id.clone(),
            at: now,
            outcome: if allowed { DecisionOutcome::Granted } else { DecisionOutcome::Denied },
            user_id,
            user_name,
            client: self.signed_in.caller.author().as_str().to_owned(),
            count: 1,
            kind: DecisionKind::Asked,
            caller: self.signed_in.caller.author().as_str().to_owned(),
            together: None,
            family: "api".to_owned(),
            granted: if allowed { asked.clone() } else { String::new() },
            asked,
            message: None,
            position: roster.position(),
            images,
        });
        Ok(id)
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn tail(&self) -> &dyn Tail {
        &*self.app.tail
    }

    pub(crate) fn control(&self) -> &dyn Control {
        &*self.app.control
    }

    pub(crate) fn live(&self) -> &Arc<SharedRoster> {
        &self.app.live
    }

    pub(crate) fn ops(&self) -> &dyn Ops {
        &*self.app.ops
    }

    pub(crate) fn receiver(&self) -> &Receiver {
        &self.app.receiver
    }

    pub(crate) fn runners(&self) -> &Runners {
        &self.app.runners
    }

    /// What the configuration says of access, in effect or not.
    pub(crate) fn configuration(&self) -> &Arc<Configuration> {
        &self.app.configuration
    }

    /// The caller's turn to try something on a copy of the roster. Rights are judged before it.
    pub(crate) async fn copy_turn(&self) -> Result<Turn> {
        self.app.shares.copy(&self.signed_in.party()).await
    }

    /// The caller's turn to ask about the past. Rights are judged before it.
    pub(crate) async fn past_turn(&self) -> Result<Turn> {
        self.app.shares.past(&self.signed_in.party()).await
    }

    /// Has many questions answered in the caller's turn, off the threads that answer. What asks them looks between two of
    /// them whether somebody still waits.
    ///
    /// # Errors
    /// The caller asks for much at once, or nobody waits any more.
    pub async fn answer_batch<T: Send + 'static>(
        &self,
        batch: impl FnOnce(&Self, &Awaited) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.app.shares.batch(&self.signed_in.party()).await?;
        let reads = self.clone();
        turn.run(move |awaited| batch(&reads, awaited)).await
    }

    /// The caller's turn to have a list read from what is kept.
    pub(crate) async fn list_turn(&self) -> Result<Turn> {
        self.app.shares.list(&self.signed_in.party()).await
    }

    /// Puts a page of a list together in the caller's turn, off the threads that answer. The roster is gone through in parts:
    /// whoever folds goes on between two of them, so that a page holds everything up to the position that it has, and may
    /// hold some of what came while it was put together. `walk` offers the keys of so many rows from one on and says from where
    /// to go on; `rows` makes rows of keys and leaves out what is no more.
    pub(crate) async fn list_in_parts<K: Ord + Clone + Send + 'static, T: Send + 'static>(
        &self,
        mut keys: NextKeys<K>,
        walk: impl Fn(&Roster, &CallerView<'_>, Part, &mut NextKeys<K>) -> Result<Option<u32>> + Send + 'static,
        rows: impl Fn(&Roster, &CallerView<'_>, &[K]) -> Vec<T> + Send + 'static,
        cursor: impl Fn(&K) -> String + Send + 'static,
    ) -> Result<(Position, Page<T>)> {
        let turn = self.list_turn().await?;
        let (live, caller, now) = (Arc::clone(&self.app.live), self.caller(), self.now());
        turn.run(move |awaited| {
            let mut from = 0;
            let (position, ()) = in_steps(&live, |roster| {
                awaited.check()?;
                let next = walk(roster, &caller.view(roster, now), Part { from, rows: PART }, &mut keys)?;
                from = next.unwrap_or(from);
                Ok(next.is_none().then_some(()))
            })?;
            let (keys, more) = keys.page();
            let mut items = Vec::with_capacity(keys.len());
            for some in keys.chunks(ROWS) {
                awaited.check()?;
                let roster = live.read_long();
                items.extend(rows(&roster, &caller.view(&roster, now), some));
            }
            let next = keys.last().filter(|_| more).map(cursor);
            Ok((position, Page { items, next }))
        })
        .await
    }

    /// Goes through a part of the roster in the caller's turn, off the threads that answer, step by step until there is an
    /// answer; whoever folds goes on between two steps. Gives the position at which it began.
    pub(crate) async fn list_in_steps<T: Send + 'static>(
        &self,
        mut step: impl FnMut(&Roster, &CallerView<'_>) -> Result<Option<T>> + Send + 'static,
    ) -> Result<(Position, T)> {
        let turn = self.list_turn().await?;
        let (live, caller, now) = (Arc::clone(&self.app.live), self.caller(), self.now());
        turn.run(move |awaited| {
            in_steps(&live, |roster| {
                awaited.check()?;
                step(roster, &caller.view(roster, now))
            })
        })
        .await
    }

    /// Goes through a part of the roster in the caller's turn, off the threads that answer.
    pub(crate) async fn list<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Roster, &CallerView<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.list_turn().await?;
        let (live, caller, now) = (Arc::clone(&self.app.live), self.caller(), self.now());
        turn.run(move |_| {
            let roster = live.read_long();
            work(&roster, &caller.view(&roster, now))
        })
        .await
    }
}

/// Looks at the roster step by step, until there is an answer, and lets it go between two. Gives the position at which it
/// began.
fn in_steps<T>(live: &SharedRoster, mut step: impl FnMut(&Roster) -> Result<Option<T>>) -> Result<(Position, T)> {
    let mut began = None;
    loop {
        let roster = live.read_long();
        let began = *began.get_or_insert(roster.position());
        if let Some(answer) = step(&roster)? {
            return Ok((began, answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_folds_goes_on_while_a_list_of_all_is_gone_through() {
        let live = Arc::new(SharedRoster::new(Roster::new(LogId([1; 8]))));
        let fold = Arc::clone(&live);
        let (begin, begun) = std::sync::mpsc::channel();
        let folds = std::thread::spawn(move || {
            begun.recv().unwrap();
            fold.write().advance_to(Position(7));
        });
        let mut steps = 0_u32;
        let listed = in_steps(&live, |roster| {
            begin.send(()).unwrap_or_default();
            std::thread::yield_now();
            steps += 1;
            let seen = roster.position();
            // It ends when the event is in.
            Ok((seen > Position(0) || steps == 10_000_000).then_some(seen))
        });
        folds.join().unwrap();
        assert_eq!(listed.unwrap(), (Position(0), Position(7)), "nothing was folded until the list ended");
    }
}
