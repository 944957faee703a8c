//! What was not recorded of a delivery stays open until its sender says it right, or a person dismisses it. And what is not
//! opened.

use chrono::{DateTime, Utc};
use rollcall_events::{Position, SourceName};
use rollcall_ingest::{
    Delivery, DeliveryId, Durability, Part, PartOutcomes, PartState, Verdict,
    connector::{Problem, ProblemType},
};
use sqlx::{Connection, SqliteConnection};

use crate::{
    EngineConfig,
    ops::{self, Dismissal, OpenError, OpenOutcome, Ops},
    suite::kit::Dir,
};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn id(n: i64) -> DeliveryId {
    DeliveryId::new(at(n), [0; 10])
}

fn wrong() -> PartState {
    PartState::Quarantined(Problem::at(ProblemType::UnknownType, "/type", "the nearest is `b`"))
}

fn part(id: Option<&str>, state: PartState) -> Part {
    Part { id: id.map(str::to_owned), kind: None, subject: None, state }
}

/// Keeps a delivery of `source`; what is pending in it is said to be `outcome`.
async fn deliver(ops: &dyn Ops, n: i64, source: &str, parts: Vec<Part>, outcome: PartState) {
    let source: SourceName = source.parse().unwrap();
    let delivery = Delivery {
        id: id(n),
        source,
        received_at: at(n),
        client: None,
        headers: [("webhook-id", "m")].into_iter().collect(),
        body: "body".into(),
        notification: None,
    };
    let pending = parts.iter().enumerate().filter(|(_, part)| part.state == PartState::Pending);
    let parts_of: Vec<_> = pending.map(|(nth, _)| (nth, outcome.as_str(), outcome.position())).collect();
    ops.store(delivery, None, parts, vec![], Durability::Written).await.unwrap();
    let outcomes = PartOutcomes { verdict: Verdict::of([outcome].iter()), parts: parts_of };
    ops.record_outcomes(&id(n), outcomes, Durability::Synced).await.unwrap();
}

/// Which deliveries have something open with this outcome, and how much.
async fn open(ops: &dyn Ops, outcome: OpenOutcome) -> Vec<(DeliveryId, u64)> {
    let found = ops.open_deliveries(outcome, None, None, 100).await.unwrap();
    found.into_iter().map(|delivery| (delivery.id, delivery.open)).collect()
}

fn by(whom: &str) -> Dismissal {
    Dismissal { at: at(99), by: whom.to_owned(), because: "a test".to_owned() }
}

#[tokio::test]
async fn what_is_said_right_under_the_same_id_is_open_no_more() {
    use OpenOutcome as O;
    let dir = Dir::new();
    let ops = dir.ops().await;
    let ops = &*ops;
    let recorded = |at| PartState::Recorded(Position(at));
    let broken = vec![part(Some("a"), wrong()), part(Some("b"), wrong()), part(None, wrong())];
    deliver(ops, 1, "flexnet", broken, recorded(1)).await;
    deliver(ops, 2, "flexnet", vec![part(Some("c"), PartState::Pending)], PartState::Unrecorded).await;
    assert_eq!((open(ops, O::Quarantined).await, open(ops, O::Unrecorded).await), (vec![(id(1), 3)], vec![(id(2), 1)]));
    // Another source's ids are others.
    let all = ["a", "b", "c"].map(|id| part(Some(id), PartState::Pending)).to_vec();
    deliver(ops, 3, "other", all, recorded(2)).await;
    assert_eq!(open(ops, O::Quarantined).await, [(id(1), 3)]);
    deliver(ops, 4, "flexnet", vec![part(Some("a"), PartState::Pending)], recorded(3)).await;
    deliver(ops, 5, "flexnet", vec![part(Some("c"), PartState::Pending)], PartState::Duplicate(Position(4))).await;
    assert_eq!((open(ops, O::Quarantined).await, open(ops, O::Unrecorded).await), (vec![(id(1), 2)], vec![]));
    let shown = ops.delivery(&id(1)).await.unwrap().unwrap();
    let recorded_in: Vec<Option<String>> = shown.parts.into_iter().map(|part| part.recorded_in).collect();
    assert_eq!(recorded_in, [Some(id(4).to_string()), None, None]);
    // Also where both are in one delivery.
    deliver(ops, 6, "flexnet", vec![part(Some("d"), PartState::Pending), part(Some("d"), wrong())], recorded(5)).await;
    assert_eq!(open(ops, O::Quarantined).await, [(id(1), 2)]);
}

#[tokio::test]
async fn what_is_said_right_takes_no_room_in_quarantine() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let kept = || async { ops.quarantine_of(&"flexnet".parse().unwrap()).await.unwrap().deliveries };
    for (n, parts) in [(1, vec!["a"]), (2, vec!["a", "b"])] {
        let parts = parts.into_iter().map(|id| part(Some(id), wrong())).collect();
        deliver(&*ops, n, "flexnet", parts, wrong()).await;
    }
    assert_eq!(kept().await, 2);
    for (n, id, left) in [(3, "a", 1), (4, "b", 0)] {
        let parts = vec![part(Some(id), PartState::Pending)];
        deliver(&*ops, n, "flexnet", parts, PartState::Recorded(Position(1))).await;
        assert_eq!(kept().await, left, "{id}");
    }
}

#[tokio::test]
async fn a_delivery_is_dismissed_once_and_only_where_something_is_open() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let ops = &*ops;
    let used = PartState::Conflict(Position(1));
    deliver(ops, 1, "flexnet", vec![part(Some("a"), PartState::Pending)], PartState::Recorded(Position(1))).await;
    deliver(ops, 2, "flexnet", vec![part(Some("a"), PartState::Pending)], used).await;
    assert_eq!(open(ops, OpenOutcome::Conflict).await, [(id(2), 1)]);
    assert!(!ops.dismiss(&id(1), by("ann")).await.unwrap(), "nothing of it is open");
    assert!(!ops.dismiss(&id(7), by("ann")).await.unwrap(), "there is none");
    assert!(ops.dismiss(&id(2), by("ann")).await.unwrap());
    assert!(!ops.dismiss(&id(2), by("bob")).await.unwrap(), "the first stands");
    assert_eq!(open(ops, OpenOutcome::Conflict).await, []);
    assert_eq!(ops.delivery(&id(2)).await.unwrap().unwrap().summary.dismissed, Some(by("ann")));
    // Gone over again it may be open again.
    let again = ops.find(&id(2)).await.unwrap().unwrap().delivery;
    ops.store_replay(&again, None, at(100), vec![part(None, wrong())], vec![]).await.unwrap();
    assert_eq!(open(ops, OpenOutcome::Quarantined).await, [(id(2), 1)]);
}

#[tokio::test]
async fn a_file_of_a_newer_form_names_the_version_that_gave_it() {
    let dir = Dir::new();
    dir.ops().await.close().await;
    let mut sql = SqliteConnection::connect(&dir.join("ops.db").display().to_string()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (1000, 'later', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut sql).await.unwrap();
    sqlx::query("PRAGMA user_version = 16777731").execute(&mut sql).await.unwrap();
    let error = ops::open(&EngineConfig::Embedded { dir: dir.to_path_buf() }).await.err().unwrap();
    let told = error.to_string();
    assert!(matches!(error, OpenError::Newer { .. }), "{told}");
    assert!(told.contains("ops.db") && told.contains("start 1.2.3 or a newer one"), "{told}");
}
