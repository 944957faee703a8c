//! Sign-ins that were refused, on their way to the records: counted in memory by whose name it was, from where and why, and
//! written a second later. Bounded: more kinds of refusals than fit are dropped and counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rollcall_authn::{RefusalCause, RefusalSink, RefusedSignIn, network_of};
use rollcall_store::ops::{RefusedSignInRow, RefusedSignIns};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::server::telemetry::{RecordsLetGo, SignInRefused};

/// How many rows gather.
const CAPACITY: usize = 4096;
/// How many rows are one write: whatever is no record waits for one write at most.
const ROWS_AT_ONCE: usize = 128;
/// How long they gather.
const WINDOW: Duration = Duration::from_secs(1);

/// Whose name (an id; nobody's is empty), the client or its network, why, and the hour.
type Key = (String, IpAddr, RefusalCause, i64);

/// The way in.
#[derive(Clone, Default)]
pub struct Refusals {
    counted: Arc<Mutex<HashMap<Key, RefusedSignInRow>>>,
    some: Arc<Notify>,
}

impl RefusalSink for Refusals {
    fn offer(&self, refused: RefusedSignIn) {
        let RefusedSignIn { at, principal, client, cause } = refused;
        SignInRefused { cause: cause.as_str() }.emit();
        let (id, name) = principal.unzip();
        // Of names that nobody has there is no end, nor of the clients that invent them.
        let network = network_of(client);
        let from = if id.is_some() { one_client(client) } else { network.addr() };
        let key = (id.clone().unwrap_or_default(), from, cause, at.timestamp().div_euclid(3600));
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counted.len() >= CAPACITY;
        match counted.get_mut(&key) {
            Some(row) => {
                row.count += 1;
                row.last_at = row.last_at.max(at);
            }
            None if full => RecordsLetGo { kind: "refused_sign_in", rows: 1 }.emit(),
            None => {
                let client = if id.is_some() { from.to_string() } else { network.to_string() };
                let cause = cause.as_str().to_owned();
                let row = RefusedSignInRow { principal: id, name, client, cause, count: 1, first_at: at, last_at: at };
                counted.insert(key, row);
                self.some.notify_one();
            }
        }
    }
}

/// One client as guesses are counted: of IPv6 the /64 that one customer has, so that whoever changes the rest of the
/// address pushes nobody else's rows out.
fn one_client(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

impl Refusals {
    /// Writes until `stop`, and then the rest: not before the last request was answered.
    pub fn start(&self, ops: Arc<dyn RefusedSignIns>, stop: CancellationToken) -> JoinHandle<()> {
        let Self { counted, some } = self.clone();
        tokio::spawn(async move {
            let mut stopped = false;
            while !stopped {
                tokio::select! {
                    () = stop.cancelled() => stopped = true,
                    () = some.notified() => tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(WINDOW) => {}
                    },
                }
                let rows = std::mem::take(&mut *counted.lock().unwrap_or_else(PoisonError::into_inner));
                let rows: Vec<_> = rows.into_values().collect();
                for rows in rows.chunks(ROWS_AT_ONCE) {
                    match ops.record_refused(rows).await {
                        Ok(0) => {}
                        Ok(gone) => RecordsLetGo { kind: "refused_sign_in", rows: gone }.emit(),
                        Err(error) => tracing::warn!(%error, lost = rows.len(), "refused sign-ins not kept"),
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn refused(user: Option<&str>, client: u32) -> RefusedSignIn {
        RefusedSignIn {
            at: DateTime::from_timestamp(1_767_225_600 + i64::from(client % 60), 0).unwrap(),
            principal: user.map(|user| (format!("corp/u-{user}"), user.to_owned())),
            client: IpAddr::V4(client.into()),
            cause: RefusalCause::WrongPassword,
        }
    }

    #[test]
    fn a_user_is_told_each_client_and_invented_names_are_counted_by_network() {
        let sink = Refusals::default();
        for n in 0..200 {
            sink.offer(refused(None, 0xc000_0200 + n));
            sink.offer(refused(Some("ada"), 0xc000_0200 + n % 2));
        }
        let mut rows: Vec<_> = sink.counted.lock().unwrap().values().cloned().collect();
        rows.sort_by(|a, b| (&a.principal, &a.client).cmp(&(&b.principal, &b.client)));
        let shown: Vec<_> = rows.iter().map(|row| (row.name.as_deref(), row.client.as_str(), row.count)).collect();
        let expected = [(None, "192.0.2.0/24", 200), (Some("ada"), "192.0.2.0", 100), (Some("ada"), "192.0.2.1", 100)];
        assert_eq!(shown, expected);
        for n in 0..10_000_u128 {
            let client = IpAddr::V6(((0x2001_0db8_u128 << 96) | n).into());
            sink.offer(RefusedSignIn { client, ..refused(Some("ada"), 0) });
        }
        assert_eq!(sink.counted.lock().unwrap().len(), expected.len() + 1, "one customer of IPv6 is one client");
        for n in 0..10_000 {
            sink.offer(refused(Some("ada"), n));
        }
        assert_eq!(sink.counted.lock().unwrap().len(), CAPACITY);
    }
}
