//! The canonical form, from bytes to events: captured requests, signatures, and whole deliveries through real stores.

use std::{fs, path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Order;
use rollcall_ingest::{Age, DeliveryId, Headers, Hook, Problem, Rejection, Said, Unread, judge};
use serde::Serialize;

use crate::{CloudEvents, SecretError, Secrets};

const SECRET: &str = "whsec_cm9sbGNhbGwtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
const OTHER: &str = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC0wMTIzNDU2Nzg5";
const BODY: &[u8] = br#"{"type":"rollcall.entitlement.upserted.v1"}"#;
const SIGNATURE: &str = "v1,tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g=";

fn hook(secrets: &str) -> CloudEvents {
    CloudEvents::new(Secrets::parse(secrets).unwrap())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

/// What a part gives, as it stands in `testdata`.
#[derive(Serialize)]
#[serde(untagged)]
enum Expected {
    Event {
        id: Arc<str>,
        #[serde(rename = "type")]
        kind: Arc<str>,
        subject: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<DateTime<Utc>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        origin: Option<Arc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<Arc<str>>,
        /// As text: the bytes count.
        data: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        personal: Option<[Option<String>; 2]>,
    },
    Quarantined {
        id: Option<String>,
        problem: Problem,
    },
}

fn expected(said: Result<Said, Unread>) -> Expected {
    let delivery = DeliveryId::new(at(0), [0; 10]);
    match said {
        Ok(said) => {
            let id = said.id.clone();
            match judge(&"flexnet".parse().unwrap(), Order::Version, &delivery, at(0), said) {
                Ok(fact) => Expected::Event {
                    id: fact.event.key.id,
                    kind: fact.event.kind,
                    subject: fact.event.subject,
                    time: fact.event.time,
                    sequence: fact.event.sequence,
                    origin: fact.event.origin,
                    traceparent: fact.event.traceparent,
                    data: fact.event.data,
                    personal: fact.personal.map(|personal| [personal.email, personal.name]),
                },
                Err(problem) => Expected::Quarantined { id: Some(id), problem },
            }
        }
        Err(Unread { id, problem, .. }) => Expected::Quarantined { id, problem },
    }
}

/// `UPDATE=1` writes the expectations anew.
#[test]
fn captured_requests_give_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let request = fs::read_to_string(&path).unwrap();
        let (head, body) = request.split_once("\n\n").unwrap();
        let headers: Headers = head.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let gives: Vec<_> = hook(SECRET).map(&headers, body.as_bytes()).into_iter().map(expected).collect();
        let gives = serde_json::to_string_pretty(&gives).unwrap() + "\n";
        let beside = path.with_extension("json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&beside, &gives).unwrap();
        }
        assert_eq!(gives, fs::read_to_string(&beside).unwrap_or_default(), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 12, "{seen} requests");
}
