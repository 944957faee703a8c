//! How many connections each address has, so that one cannot have them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rollcall_authn::host_of;

/// The connections that are open, by address.
#[derive(Clone)]
pub struct Shares {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, until it is dropped.
pub struct Share {
    shares: Shares,
    of: IpAddr,
}

impl Shares {
    /// At most so many for each.
    pub fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// One more connection of an address, if it may have one.
    pub fn take(&self, address: IpAddr) -> Option<Share> {
        let of = host_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(of).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), of })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_a_network_of_64_bits_is_one_address() {
        let shares = Shares::new(2);
        let take = |address: &str| shares.take(address.parse().unwrap());
        let held = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some) && take("192.0.2.1").is_none());
        let _six = [take("2001:db8::1"), take("2001:db8::2:1")];
        assert!(take("2001:db8::3").is_none() && take("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(take("192.0.2.1").is_some());
        assert_eq!(shares.open.lock().unwrap().len(), 1, "nobody is remembered who has none");
    }
}
