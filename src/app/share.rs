//! Shares: how much of one thing that is bounded a caller may have at once, and an address, and how many of their requests
//! may wait for it. So what one caller asks delays that caller first, and nobody else for longer than one turn. Does not
//! know what is done with it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rollcall_authn::host_of;
use tokio::sync::oneshot;

use crate::{
    error::{Error, ErrorKind},
    telemetry::{ShareRefused, ShareTaken, ShareUse},
};

/// Whom something counts for: who asks, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    caller: Arc<str>,
    address: Option<IpAddr>,
}

impl Party {
    /// `caller`: the author of its commands, or a source. `address`: the client's, where it is known.
    pub fn new(caller: &str, address: Option<IpAddr>) -> Self {
        Self { caller: caller.into(), address: address.map(host_of) }
    }
}

/// How much there is for everybody together, for one address and for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub everybody: usize,
    pub address: usize,
    pub caller: usize,
}

/// Who has too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// All together.
    Everybody,
    /// This address.
    Address,
    /// This caller.
    Caller,
}

impl Bound {
    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Address => "address",
            Self::Caller => "caller",
        }
    }
}

impl Bounds {
    fn exceeded(self, everybody: usize, address: usize, caller: usize) -> Option<Bound> {
        if caller >= self.caller {
            Some(Bound::Caller)
        } else if address >= self.address {
            Some(Bound::Address)
        } else if everybody >= self.everybody {
            Some(Bound::Everybody)
        } else {
            None
        }
    }
}

/// One thing that is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The name in metrics.
    pub name: &'static str,
    /// What it is in a refusal: `questions about the past`.
    pub what: &'static str,
    /// At once.
    pub held: Bounds,
    /// In the queue.
    pub waiting: Bounds,
    /// For how long one waits in it.
    pub timeout: Duration,
    /// For how long what is held may be used.
    pub turn: Duration,
}

/// A bounded thing, shared.
pub(crate) struct Share {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    everybody: usize,
    addresses: HashMap<IpAddr, usize>,
    callers: HashMap<Arc<str>, usize>,
    queue: Vec<Waiting>,
}

/// A request in the queue.
struct Waiting {
    party: Party,
    /// How many requests of the same caller were before it, held or waiting: those with fewer go first, so that a caller
    /// with many requests does not keep out one with a single one.
    before: usize,
    admit: oneshot::Sender<Slot>,
}

/// What one request holds of a share, until it is dropped.
pub(crate) struct Slot {
    share: Arc<Share>,
    party: Party,
}

impl State {
    /// What stands against one more for a party.
    fn exceeds(&self, bounds: Bounds, party: &Party) -> Option<Bound> {
        let address = party.address.and_then(|address| self.addresses.get(&address)).copied().unwrap_or_default();
        let caller = self.callers.get(&party.caller).copied().unwrap_or_default();
        bounds.exceeded(self.everybody, address, caller)
    }

    fn waiting(&self, of: impl Fn(&Party) -> bool) -> usize {
        self.queue.iter().filter(|waiting| of(&waiting.party)).count()
    }

    fn take(&mut self, party: &Party) {
        self.everybody += 1;
        *self.callers.entry(Arc::clone(&party.caller)).or_default() += 1;
        if let Some(address) = party.address {
            *self.addresses.entry(address).or_default() += 1;
        }
    }

    fn give_back(&mut self, party: &Party) {
        self.everybody = self.everybody.saturating_sub(1);
        decrease(&mut self.callers, &party.caller);
        if let Some(address) = party.address {
            decrease(&mut self.addresses, &address);
        }
    }

    /// The next in the queue for whom there is room: of the caller with the fewest before, the one that came first.
    fn next(&mut self, bounds: Bounds) -> Option<Waiting> {
        self.queue.retain(|waiting| !waiting.admit.is_closed());
        let free = self.queue.iter().enumerate().filter(|(_, one)| self.exceeds(bounds, &one.party).is_none());
        let (at, _) = free.min_by_key(|(at, one)| (one.before, *at))?;
        Some(self.queue.remove(at))
    }
}

/// One less; what nobody has is not kept.
fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Share {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// For how long what is held may be used.
    pub fn turn(&self) -> Duration {
        self.limits.turn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, at once or in turn.
    ///
    /// # Errors
    /// The caller, its address or all together have as much as they may, and as many wait, or the wait was too long.
    pub async fn acquire(self: &Arc<Self>, party: &Party) -> Result<Slot, Error> {
        let admitted = {
            let mut state = self.lock();
            let Some(bound) = state.exceeds(self.limits.held, party) else { return Ok(self.slot(&mut state, party)) };
            state.queue.retain(|waiting| !waiting.admit.is_closed());
            let of_caller = state.waiting(|other| other.caller == party.caller);
            let of_address = state.waiting(|other| party.address.is_some() && other.address == party.address);
            if self.limits.waiting.exceeded(state.queue.len(), of_address, of_caller).is_some() {
                return Err(self.refusal(bound));
            }
            let held = state.callers.get(&party.caller).copied().unwrap_or_default();
            let (admit, admitted) = oneshot::channel();
            state.queue.push(Waiting { party: party.clone(), before: held + of_caller, admit });
            self.note(&state);
            (admitted, bound)
        };
        match tokio::time::timeout(self.limits.timeout, admitted.0).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(self.refusal(admitted.1)),
        }
    }

    fn slot(self: &Arc<Self>, state: &mut State, party: &Party) -> Slot {
        state.take(party);
        ShareTaken { share: self.limits.name }.emit();
        self.note(state);
        Slot { share: Arc::clone(self), party: party.clone() }
    }

    fn note(&self, state: &State) {
        ShareUse { share: self.limits.name, held: state.everybody, waiting: state.queue.len() }.emit();
    }

    fn refusal(&self, bound: Bound) -> Error {
        let Limits { name, what, .. } = self.limits;
        ShareRefused { share: name, bound: bound.as_str() }.emit();
        let who = match bound {
            Bound::Caller => "You have",
            Bound::Address => "Callers at your address have",
            Bound::Everybody => "Others have",
        };
        let text = format!("{who} as many {what} under way as are answered at once. Send it again in a moment.");
        ErrorKind::Overloaded.because(text).retry_after(RETRY_AFTER)
    }
}

/// After how many seconds a refused request makes sense again.
const RETRY_AFTER: u32 = 2;

impl Drop for Slot {
    fn drop(&mut self) {
        let mut admitted = Vec::new();
        {
            let mut state = self.share.lock();
            state.give_back(&self.party);
            while let Some(Waiting { party, admit, .. }) = state.next(self.share.limits.held) {
                admitted.push((admit, self.share.slot(&mut state, &party)));
            }
            self.share.note(&state);
        }
        for (admit, slot) in admitted {
            // A slot that nobody waits for any more goes back by being dropped.
            drop(admit.send(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        name: "test",
        what: "questions of a test",
        held: Bounds { everybody: 3, address: 2, caller: 1 },
        waiting: Bounds { everybody: 8, address: 4, caller: 2 },
        timeout: Duration::from_secs(60),
        turn: Duration::from_secs(60),
    };

    fn party(caller: &str, host: u8) -> Party {
        Party::new(caller, Some(IpAddr::from([192, 0, 2, host])))
    }

    /// A request in the queue: polled once, so that its place is taken.
    async fn queued(share: &Arc<Share>, party: Party) -> tokio::task::JoinHandle<Result<Slot, Error>> {
        let before = share.lock().queue.len();
        let own = Arc::clone(share);
        let task = tokio::spawn(async move { own.acquire(&party).await });
        while share.lock().queue.len() == before {
            assert!(!task.is_finished(), "it did not wait");
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn one_caller_takes_its_share_and_others_find_room() {
        let share = Share::new(LIMITS);
        let _held = share.acquire(&party("ada", 1)).await.unwrap();
        let _first = queued(&share, party("ada", 1)).await;
        let _second = queued(&share, party("ada", 2)).await;
        let refused = share.acquire(&party("ada", 3)).await.err().unwrap();
        assert_eq!((refused.kind, refused.retry_after), (ErrorKind::Overloaded, Some(RETRY_AFTER)));
        assert!(refused.detail.starts_with("You have as many questions of a test"), "{}", refused.detail);
        assert!(share.acquire(&party("bob", 9)).await.is_ok(), "bob waits for nobody");
    }

    #[tokio::test]
    async fn one_address_takes_its_share_whoever_calls_from_it() {
        let share = Share::new(LIMITS);
        let _held = [share.acquire(&party("a", 1)).await.unwrap(), share.acquire(&party("b", 1)).await.unwrap()];
        let mut waiting = Vec::new();
        for caller in ["c", "d", "e", "f"] {
            waiting.push(queued(&share, party(caller, 1)).await);
        }
        let refused = share.acquire(&party("g", 1)).await.err().unwrap();
        assert!(refused.detail.starts_with("Callers at your address"), "{}", refused.detail);
        assert!(share.acquire(&party("g", 2)).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_once_goes_before_the_second_request_of_who_asks_often() {
        let share = Share::new(Limits { held: Bounds { everybody: 1, address: 1, caller: 1 }, ..LIMITS });
        let held = share.acquire(&party("ada", 1)).await.unwrap();
        let ada = [queued(&share, party("ada", 1)).await, queued(&share, party("ada", 1)).await];
        let bob = queued(&share, party("bob", 2)).await;
        drop(held);
        let slot = bob.await.unwrap().unwrap();
        assert!(ada.iter().all(|task| !task.is_finished()));
        drop(slot);
        for task in ada {
            assert!(task.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn who_left_the_queue_is_passed_over_and_holds_no_place() {
        let share = Share::new(LIMITS);
        let held = share.acquire(&party("ada", 1)).await.unwrap();
        for task in [queued(&share, party("ada", 1)).await, queued(&share, party("ada", 1)).await] {
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        }
        let stays = queued(&share, party("ada", 1));
        let stays = tokio::time::timeout(Duration::from_secs(60), stays).await;
        drop(held);
        assert!(stays.unwrap().await.unwrap().is_ok());
        let state = share.lock();
        assert_eq!((state.everybody, state.queue.len()), (0, 0), "nothing is held for ever");
        assert!(state.callers.is_empty() && state.addresses.is_empty(), "and nobody is remembered");
    }

    #[tokio::test]
    async fn a_place_in_the_queue_ends_by_itself() {
        let share = Share::new(Limits { timeout: Duration::ZERO, ..LIMITS });
        let _held = share.acquire(&party("ada", 1)).await.unwrap();
        assert_eq!(share.acquire(&party("ada", 1)).await.err().unwrap().kind, ErrorKind::Overloaded);
    }
}
