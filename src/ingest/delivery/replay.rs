//! Going over kept deliveries again: one, all of a problem, or what a crash left half way.
//! Never appends what was not authentic. What was recorded or known when it arrived stays as it is: because of the keys, and
//! where nothing but the arrival orders facts because of what the log has of their subjects.

use std::sync::Arc;

use rollcall_events::{Order, SourceName};

use crate::{
    connector::{Found, Occasion, ProblemType, Rejection},
    delivery::{
        inbox::InboxError,
        model::{DeliveryId, Replayed, Sent, Verdict},
        receive::{DeliveryAnswer, MappedDelivery, ReceiveError, Receiver, ReceiverState},
        said::Arrival,
        telemetry,
    },
    personal::micros,
};

/// How many deliveries are looked up at once.
const PAGE: usize = 100;

/// Why a kept delivery was not replayed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// 404: no such delivery is kept.
    #[error("no such delivery is kept")]
    Unknown,
    /// 409: its source has no hook any more.
    #[error("source `{0}` is not configured with a hook now")]
    UnknownSource(SourceName),
    /// 409: its bytes were erased, or were too many to be kept with a rejected delivery.
    #[error("the bytes of this delivery are not kept any more: ask the sender to send it again")]
    Gone,
    /// 409: the source as it is configured now would not take it.
    #[error("{0}")]
    Unauthorised(Rejection),
    /// As when it was received.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl From<InboxError> for ReplayError {
    fn from(error: InboxError) -> Self {
        Self::Receive(error.into())
    }
}

impl Receiver {
    /// Goes over one kept delivery again: signature (not its age), map, append. A rejected one is taken now if its
    /// signature fits now, for instance after a wrong secret was fixed.
    ///
    /// # Errors
    /// As [`ReplayError`].
    pub async fn replay(&self, delivery: &DeliveryId) -> Result<DeliveryAnswer, ReplayError> {
        let (inner, id) = (self.inner.clone(), delivery.clone());
        let work = tokio::spawn(async move { inner.replay(&id).await });
        work.await.unwrap_or_else(|error| Err(ReceiveError::Unavailable(error.to_string()).into()))
    }

    /// Goes over every delivery that has a part in quarantine with this problem.
    ///
    /// # Errors
    /// When the inbox cannot be read. A delivery that cannot be replayed is named in the result.
    pub async fn replay_all(&self, source: Option<&SourceName>, problem: ProblemType) -> Result<Replayed, ReplayError> {
        let mut all = Replayed::default();
        let mut after = None;
        loop {
            let page = self.inner.inbox.quarantined(source, problem, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.clone());
            self.replay_each(page, &mut all).await;
        }
    }

    /// Goes on with the deliveries that a crash left on their way. Call it at start, before the first is received, so
    /// that nothing newer is overtaken.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn recover(&self) -> Result<Replayed, ReplayError> {
        let mut all = Replayed::default();
        let mut after = None;
        loop {
            let page = self.inner.inbox.pending(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                telemetry::Recovered { all: &all }.emit();
                return Ok(all);
            };
            after = Some(last.clone());
            self.replay_each(page, &mut all).await;
        }
    }

    async fn replay_each(&self, page: Vec<DeliveryId>, all: &mut Replayed) {
        for id in page {
            all.deliveries += 1;
            match self.replay(&id).await {
                Ok(answer) => {
                    all.recorded += answer.events.iter().filter(|e| e.outcome == "recorded").count();
                    all.quarantined += answer.quarantined;
                }
                Err(error) => all.failed.push((id, error.to_string())),
            }
        }
    }
}

impl ReceiverState {
    async fn replay(self: Arc<Self>, id: &DeliveryId) -> Result<DeliveryAnswer, ReplayError> {
        let kept = self.inbox.find(id).await?.ok_or(ReplayError::Unknown)?;
        let delivery = kept.delivery;
        let hook_state =
            self.hooks.get(&delivery.source).ok_or_else(|| ReplayError::UnknownSource(delivery.source.clone()))?;
        // What was acknowledged before it was retired goes its way; the log is the judge of it.
        if kept.verdict != Verdict::Pending && (hook_state.route.is_retired)(&delivery.source) {
            return Err(ReceiveError::Retired { source_name: delivery.source }.into());
        }
        if delivery.body.len() as u64 != kept.bytes {
            return Err(ReplayError::Gone);
        }
        let found = if kept.verdict == Verdict::Rejected { Found::Rejected } else { Found::Authentic };
        let verified = hook_state.route.hook.verify(&delivery.headers, &delivery.body, Occasion::Replay(found));
        verified.map_err(ReplayError::Unauthorised)?;
        // What was taken when it came is taken again, also where our clock was set back since.
        let now = self.clock.now().max(delivery.received_at);
        let MappedDelivery { parts, facts, mut personal } = hook_state.map_apart(&delivery, now).await?;
        let observed = hook_state.route.order == Order::Observed;
        let _alone = if observed { Some(hook_state.turn.write().await) } else { None };
        let arrival = if observed {
            let same = self.inbox.same_notification(&delivery).await?;
            if same.is_erased() {
                personal.clear();
            }
            let same = same.authentic(&delivery, hook_state.route.hook.as_ref());
            Some(Arrival::of(self.inbox.as_ref(), Sent::of(&delivery, kept.refused), &same).await?)
        } else {
            None
        };
        if let Some(arrival) = &arrival {
            personal.iter_mut().for_each(|of| of.order_key = micros(arrival.at()));
        }
        telemetry::DeliveryReplayed { delivery: &delivery, was: kept.verdict }.emit();
        let first = arrival.as_ref().map(Arrival::first);
        self.inbox.store_replay(&delivery, first, self.clock.now(), parts.clone(), personal).await?;
        Ok(self.append(&delivery, parts, facts, false, arrival).await?)
    }
}
