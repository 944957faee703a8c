//! How many bytes of bodies may be in memory before anybody knows whose they are: of all together, and of one client.
//! Counts what has arrived, not what was announced: an announcement costs nothing and takes nothing away. The beginning of
//! each counts for nothing, as there are no more of them than connections: whoever fills the whole keeps out no ordinary
//! notification.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use rollcall_authn::host_of;

use crate::http::problem::{Kind, Result};

/// One client gets this part of the whole, and never less than one whole body.
const PART_OF_ONE_CLIENT: usize = 4;

/// As much of each body as counts for nothing: most notifications are shorter.
const BEGINNING: usize = 16 << 10;

/// The bytes that are there.
pub(crate) struct BodyBudget {
    total: usize,
    beginning: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// What one body has of it; given back when it is dropped.
pub(crate) struct BodyShare<'a> {
    budget: &'a BodyBudget,
    client: IpAddr,
    most: usize,
    /// What of its beginning is still to come.
    beginning: usize,
    bytes: usize,
}

impl BodyBudget {
    pub fn new(total: usize) -> Self {
        Self { total, beginning: BEGINNING, held: Mutex::default() }
    }

    /// A share for a body of this client, which may be so long.
    pub fn share(&self, client: IpAddr, longest: usize) -> BodyShare<'_> {
        let most = longest.max(self.total / PART_OF_ONE_CLIENT);
        BodyShare { budget: self, client: host_of(client), most, beginning: self.beginning, bytes: 0 }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyShare<'_> {
    /// Takes so many more bytes.
    ///
    /// # Errors
    /// There are no more of them, for anybody or for this client.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        let free = bytes.min(self.beginning);
        self.beginning -= free;
        let bytes = bytes - free;
        if bytes == 0 {
            return Ok(());
        }
        let mut held = self.budget.held();
        let of_client = held.by_client.get(&self.client).copied().unwrap_or_default();
        if held.all + bytes > self.budget.total || of_client + bytes > self.most {
            let what =
                "Too many bodies are arriving at once that nobody has vouched for yet. Send it again in a moment.";
            return Err(Kind::Overloaded.because(what).retry_after(1));
        }
        held.all += bytes;
        held.by_client.insert(self.client, of_client + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.budget.held();
        held.all = held.all.saturating_sub(self.bytes);
        let left = held.by_client.get(&self.client).copied().unwrap_or_default().saturating_sub(self.bytes);
        if left == 0 {
            held.by_client.remove(&self.client)
        } else {
            held.by_client.insert(self.client, left)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_use_it_up_and_what_is_dropped_is_there_again() {
        let budget = BodyBudget { beginning: 0, ..BodyBudget::new(1_000) };
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut first = budget.share(a, 100);
        first.take(200).unwrap();
        assert_eq!(budget.share(a, 100).take(100).unwrap_err().kind(), Kind::Overloaded, "a has a quarter, 250");
        budget.share(b, 100).take(100).unwrap();
        drop(first);
        budget.share(a, 100).take(250).unwrap();
        // A whole body always fits, whatever a quarter is.
        let mut whole = budget.share(a, 900);
        whole.take(900).unwrap();
        assert!(budget.share(b, 900).take(101).is_err(), "there are 1 000 for all together");
        drop(whole);
        // Whoever has one address of an IPv6 network has all of them.
        let [six, next] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
        let mut one = budget.share(six, 100);
        one.take(200).unwrap();
        assert!(budget.share(next, 100).take(100).is_err());
        drop(one);
        assert!(budget.held().by_client.is_empty() && budget.held().all == 0);
    }

    #[test]
    fn whoever_uses_all_of_it_up_keeps_out_no_ordinary_notification() {
        let budget = BodyBudget::new(BEGINNING);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut large = budget.share(a, 2 * BEGINNING);
        large.take(BEGINNING).unwrap();
        large.take(BEGINNING).unwrap();
        assert!(large.take(1).is_err(), "that is all");
        let mut small = budget.share(b, 2 * BEGINNING);
        small.take(1_000).unwrap();
        small.take(BEGINNING - 1_000).unwrap();
        assert!(small.take(1).is_err(), "what is longer waits");
        assert_eq!(budget.held().all, BEGINNING);
        drop((large, small));
        assert!(budget.held().by_client.is_empty() && budget.held().all == 0);
    }
}
