//! Turns: work that takes long or holds much, done in its caller's share and off the threads that answer. It ends with its
//! time and is let go of when nobody waits for it any more. Does not know what the work is.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use rollcall_access::{GivenUp, Roster, SharedRoster};
use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind, Result},
    share::{Bounds, Limits, Party, Share, Slot},
};

/// For how long a request waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long one turn of most kinds lasts at most.
const TURN_TIME: Duration = Duration::from_secs(15);
/// For how long one turn lasts in which the whole roster is gone through; a request ends sooner, as the operator says.
const WHAT_IF_TIME: Duration = Duration::from_secs(600);

/// A roster of what it depends on is held for each: so few that all of them are a part of the memory, and more than one
/// address can take.
const PAST: Limits = Limits {
    name: "past",
    what: "questions about the past",
    held: Bounds { everybody: 4, address: 2, caller: 1 },
    waiting: Bounds { everybody: 64, address: 16, caller: 8 },
    timeout: QUEUE_TIMEOUT,
    turn: TURN_TIME,
};

/// Two copies of the whole roster are held for each.
const COPIES: Limits = Limits {
    name: "what_if",
    what: "previews and plans",
    held: Bounds { everybody: 1, address: 1, caller: 1 },
    waiting: Bounds { everybody: 16, address: 4, caller: 2 },
    timeout: QUEUE_TIMEOUT,
    turn: WHAT_IF_TIME,
};

/// Each takes milliseconds: a client that asks for several at once has them one after the other. As many as may wait for a
/// position may come to it together.
const LISTS: Limits = Limits {
    name: "lists",
    what: "lists",
    held: Bounds { everybody: 4, address: 3, caller: 1 },
    waiting: Bounds { everybody: 256, address: 64, caller: 32 },
    timeout: QUEUE_TIMEOUT,
    turn: TURN_TIME,
};

/// Up to a thousand questions each, of programs that ask for many people: a program has two at a time, and a queue for as
/// many connections as it may have in use.
const BATCHES: Limits = Limits {
    name: "batches",
    what: "batches of questions",
    held: Bounds { everybody: 4, address: 3, caller: 2 },
    waiting: Bounds { everybody: 256, address: 128, caller: 64 },
    timeout: QUEUE_TIMEOUT,
    turn: TURN_TIME,
};

/// Who waits for a position holds a connection and nothing else. All of them together leave most connections to others,
/// and none queues: that would be waiting too.
const WAITS: Limits = Limits {
    name: "waits",
    what: "requests that wait for a position",
    held: Bounds { everybody: 256, address: 64, caller: 32 },
    waiting: Bounds { everybody: 0, address: 0, caller: 0 },
    timeout: Duration::ZERO,
    turn: Duration::ZERO,
};

/// The share of all of it that connections that wait may be.
const WAITING_CONNECTIONS: usize = 4;

/// How many rows are looked at between two looks at whether somebody waits for them.
const BETWEEN_LOOKS: usize = 64;

/// What is shared among callers.
pub(crate) struct Shares {
    past: Arc<Share>,
    copies: Arc<Share>,
    lists: Arc<Share>,
    batches: Arc<Share>,
    waits: Arc<Share>,
}

impl Shares {
    /// `connections`: how many the server has at most.
    pub fn new(connections: usize) -> Self {
        let Bounds { everybody, address, caller } = WAITS.held;
        let most = (connections / WAITING_CONNECTIONS).max(1);
        let held = Bounds { everybody: everybody.min(most), address: address.min(most), caller: caller.min(most) };
        Self {
            past: Share::new(PAST),
            copies: Share::new(COPIES),
            lists: Share::new(LISTS),
            batches: Share::new(BATCHES),
            waits: Share::new(Limits { held, ..WAITS }),
        }
    }

    /// The turn to ask about the past.
    pub async fn past(&self, party: &Party) -> Result<Turn> {
        Turn::of(&self.past, party).await
    }

    /// The turn to try something on a copy of the roster.
    pub async fn copy(&self, party: &Party) -> Result<Turn> {
        Turn::of(&self.copies, party).await
    }

    /// The turn to go through a part of the roster.
    pub async fn list(&self, party: &Party) -> Result<Turn> {
        Turn::of(&self.lists, party).await
    }

    /// The turn to have many questions answered together.
    pub async fn batch(&self, party: &Party) -> Result<Turn> {
        Turn::of(&self.batches, party).await
    }

    /// The right to wait for a position, until it is dropped.
    pub async fn wait(&self, party: &Party) -> Result<Slot> {
        self.waits.acquire(party).await
    }
}

/// A caller's turn. Whoever drops it lets go of the work that was begun in it.
pub(crate) struct Turn {
    slot: Arc<Slot>,
    asked: Arc<()>,
    until: Instant,
}

/// Whether somebody still waits for a piece of work.
pub struct Awaited(Weak<()>);

impl Awaited {
    /// Whether to go on.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Ends work that nobody waits for.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub fn check(&self) -> Result<()> {
        if self.is_awaited() { Ok(()) } else { Err(GivenUp::Abandoned.into()) }
    }

    /// Goes through rows, for as long as somebody waits: it looks now and then.
    pub(crate) fn while_awaited<T>(&self, rows: impl Iterator<Item = T>) -> impl Iterator<Item = Result<T>> {
        rows.enumerate().map(|(looked_at, row)| {
            if looked_at.is_multiple_of(BETWEEN_LOOKS) {
                self.check()?;
            }
            Ok(row)
        })
    }
}

impl From<GivenUp> for Error {
    fn from(given_up: GivenUp) -> Self {
        match given_up {
            GivenUp::TooMuch(most) => too_much(most, "rows"),
            // Nobody reads it.
            GivenUp::Abandoned => ErrorKind::Unavailable.because("Nobody waits for the answer."),
        }
    }
}

/// A question costs more than one may.
pub(crate) fn too_much(most: u64, what: &str) -> Error {
    ErrorKind::TooMuch.because(format!(
        "This depends on more than {most} {what}, which is more than one question may. Ask about less: one user instead of everybody, one project instead of all."
    ))
}

impl Turn {
    async fn of(share: &Arc<Share>, party: &Party) -> Result<Self> {
        let slot = Arc::new(share.acquire(party).await?);
        Ok(Self { slot, asked: Arc::default(), until: Instant::now() + share.turn() })
    }

    /// Does a piece of work off the threads that answer. It is to look now and then whether it is still awaited: it is
    /// not when the turn is over or was dropped. What it holds of the share goes back when it has ended.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Awaited) -> Result<T> + Send + 'static) -> Result<T> {
        let (slot, awaited) = (Arc::clone(&self.slot), Awaited(Arc::downgrade(&self.asked)));
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            awaited.check()?;
            work(&awaited)
        });
        match tokio::time::timeout_at(self.until, done).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(broken_off()),
            Err(_) => Err(ErrorKind::Overloaded
                .because("It takes longer than a question may. Ask about less: one user, one project, a shorter list.")
                .retry_after(60)),
        }
    }

    /// As [`Self::run_on_view`], for work that tries something: on a copy of its own, which shares what it does not change.
    pub async fn run_with_copy<T: Send + 'static>(
        &self,
        live: &Arc<SharedRoster>,
        work: impl FnOnce(Roster) -> T + Send + 'static,
    ) -> Result<T> {
        let live = Arc::clone(live);
        self.run(move |awaited| {
            let copy = Roster::clone(&live.view());
            awaited.check()?;
            Ok(work(copy))
        })
        .await
    }

    /// Does work on a view of the roster.
    pub async fn run_on_view<T: Send + 'static>(
        &self,
        live: &Arc<SharedRoster>,
        work: impl FnOnce(&Roster, &Awaited) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let live = Arc::clone(live);
        self.run(move |awaited| {
            let view = live.view();
            awaited.check()?;
            work(&view, awaited)
        })
        .await
    }
}

/// Work of the process itself, in nobody's turn; as in a turn it ends when nobody waits for it.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce(&Awaited) -> Result<T> + Send + 'static,
) -> Result<T> {
    let asked = Arc::new(());
    let awaited = Awaited(Arc::downgrade(&asked));
    let done = tokio::task::spawn_blocking(move || work(&awaited)).await.map_err(|_| broken_off());
    drop(asked);
    done?
}

fn broken_off() -> Error {
    ErrorKind::Internal.because("It broke off half way. Nothing was changed. Report this.")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn ada() -> Party {
        Party::new("user:flexnet/ada", None)
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_so_and_keeps_its_slot_until_it_has_ended() {
        let shares = Shares::new(64);
        let turn = shares.past(&ada()).await.unwrap();
        let ((started, seen), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
        let (ended, awaited) = tokio::sync::oneshot::channel();
        let asking = tokio::spawn(async move {
            turn.run(move |work| {
                started.send(work.is_awaited()).unwrap();
                gone.recv().unwrap();
                let _ = ended.send(work.is_awaited());
                Ok(())
            })
            .await
        });
        assert!(tokio::task::spawn_blocking(move || seen.recv().unwrap()).await.unwrap());
        // The client leaves.
        asking.abort();
        assert!(asking.await.is_err());
        let next = tokio::spawn(async move { shares.past(&ada()).await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!next.is_finished(), "its turn is over when its work is");
        go.send(()).unwrap();
        assert!(!awaited.await.unwrap(), "the work sees that nobody waits");
        next.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_kinds_of_work_do_not_wait_for_each_other() {
        let shares = Shares::new(64);
        let _held = (shares.past(&ada()).await.unwrap(), shares.copy(&ada()).await.unwrap());
        let _list = shares.list(&ada()).await.unwrap();
        assert!(shares.wait(&ada()).await.is_ok());
    }

    #[tokio::test]
    async fn those_who_wait_leave_most_connections_to_others() {
        let shares = Shares::new(16);
        let mut held = Vec::new();
        while let Ok(slot) = shares.wait(&Party::new(&format!("user:{}", held.len()), None)).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 4);
    }
}
