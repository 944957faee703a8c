//! The capability to ask: what queries of this crate reach for an admitted caller. Appends nothing.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, Principal, Roster, SharedRoster, Stale};
use rollcall_eventlog::Tail;
use rollcall_events::{LogId, Position};
use rollcall_ingest::{Receiver, Runners};
use rollcall_store::ops::{DecisionKind, DecisionOutcome, DecisionRow, Ops};

use crate::{
    App, Caller, Control, SignedIn,
    caller::{CallerView, Giver},
    error::{ErrorKind, Result},
    question::Question,
    random::random_id,
    turn::{Awaited, Turn},
};

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

    /// Has questions answered in the caller's turn, off the threads that answer, all by one view. What asks them looks between two of
    /// them whether somebody still waits.
    ///
    /// # Errors
    /// The caller asks for much at once, or nobody waits any more.
    pub async fn answer_batch<T: Send + 'static>(
        &self,
        batch: impl FnOnce(&Self, &Roster, &Awaited) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.app.shares.batch(&self.signed_in.party()).await?;
        let reads = self.clone();
        turn.run(move |awaited| batch(&reads, &reads.app.live.view(), awaited)).await
    }

    /// Has one question answered by a view, at once and in no turn: it is no more work than what it is about.
    pub fn answer_one<T>(&self, question: impl FnOnce(&Self, &Roster) -> T) -> T {
        question(self, &self.app.live.view())
    }

    /// The caller's turn to have a list read from what is kept.
    pub(crate) async fn list_turn(&self) -> Result<Turn> {
        self.app.shares.list(&self.signed_in.party()).await
    }

    /// Goes through the roster in the caller's turn, off the threads that answer and on a view of it: nobody waits for it. Gives
    /// the position that it is of.
    pub(crate) async fn list<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Roster>, &CallerView<'_>, &Awaited) -> Result<T> + Send + 'static,
    ) -> Result<(Position, T)> {
        let turn = self.list_turn().await?;
        let (live, caller, now) = (Arc::clone(&self.app.live), self.caller(), self.now());
        turn.run(move |awaited| {
            let roster = live.view();
            Ok((roster.position(), work(&roster, &caller.view(&roster, now), awaited)?))
        })
        .await
    }
}
