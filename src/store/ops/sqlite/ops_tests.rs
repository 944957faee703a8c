//! The ops store against a real file: what is kept, found, bounded, erased, and what survives.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::{Digest, Position, SourceName};
use rollcall_ingest::{
    Delivery, DeliveryId, Durability, InboxError, Part, PartOutcomes, PartState, Personal, Quarantine, Verdict,
    connector::{Notification, Problem, ProblemType},
};
use sqlx::{Connection, Executor, SqliteConnection};

use super::{decisions_tests::refusal, sql, store::MIGRATIONS};
use crate::{
    ops::{
        Claim, DecisionFilter, DecisionOutcome, DeliveryFilter, Ops, OpsError, PartRow, RefusedSignInRow, Retention,
        StoredAnswer,
    },
    suite::kit::Dir,
};

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

pub(super) fn id(n: i64) -> DeliveryId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    DeliveryId::new(at(n), random)
}

pub(super) fn source(name: &str) -> SourceName {
    name.parse().unwrap()
}

pub(super) fn delivery(n: i64, body: &str) -> Delivery {
    Delivery {
        id: id(n),
        source: source("flexnet"),
        received_at: at(n),
        client: Some("10.0.0.7".parse().unwrap()),
        headers: [("webhook-id", "m"), ("webhook-id", "n"), ("ce-id", "é\"")].into_iter().collect(),
        body: Bytes::from(body.to_owned()),
        notification: Some(Notification { id: "m".into(), signed_at: at(0) }),
    }
}

/// One of some size.
pub(super) fn large(n: i64) -> Delivery {
    delivery(n, &"x".repeat(100_000))
}

pub(super) fn part(subject: &str, state: PartState) -> Part {
    let text = |text: &str| Some(text.to_owned());
    Part { id: text("e1"), kind: text("rollcall.product.upserted.v1"), subject: text(subject), state }
}

pub(super) fn unknown_type() -> PartState {
    PartState::Quarantined(Problem::at(ProblemType::UnknownType, "/type", "the nearest is `b`"))
}

fn settled(verdict: Verdict, word: &'static str, position: u64) -> PartOutcomes {
    PartOutcomes { verdict, parts: vec![(0, word, Some(Position(position)))] }
}

pub(super) async fn store(ops: &dyn Ops, n: i64, state: PartState) {
    let parts = vec![part("product/DB", state)];
    ops.store(delivery(n, "body"), None, parts, vec![], Durability::Written).await.unwrap();
}

/// Everything in `ops.db` has been written: a write that waits is behind all that was in line.
pub(super) async fn flushed(ops: &dyn Ops) {
    ops.caught_up().await.unwrap();
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut db).await.unwrap();
    let text = include_str!("sql.rs");
    #[rustfmt::skip]
    let all = [
        sql::BEGIN, sql::COMMIT, sql::SYNC_NORMAL, sql::SYNC_FULL, sql::INSERT_DELIVERIES,
        sql::INSERT_PARTS, sql::UPSERT_PERSONAL, sql::SETTLE_DELIVERIES, sql::SETTLE_PARTS, sql::TRIM_REJECTED,
        sql::NOTE_REPLAY, sql::DROP_PARTS, sql::REOPEN_DELIVERY, sql::FIND_DELIVERY, sql::PARTS_OF, sql::REPLAYS_OF,
        sql::SENT, sql::SAID_AGAIN, sql::SAME_IN_QUARANTINE, sql::SAME_NOTIFICATION, sql::NOTIFICATION_REUSED, sql::QUARANTINED, sql::PENDING, sql::LIST_ALL, sql::LIST_SOURCE, sql::LIST_VERDICTS, sql::LIST_SOURCE_VERDICTS,
        sql::PERSONAL, sql::SHARED_ADDRESSES, sql::FORGET_PERSON, sql::ERASE_DELIVERIES, sql::ERASE_PARTS, sql::INSERT_DECISIONS,
        sql::INSERT_DECISION_IMAGES, sql::COUNT_DECISIONS, sql::DECISIONS, sql::DECISIONS_OF_USER,
        sql::DECISIONS_OF_PROJECT, sql::FIND_DECISION, sql::DECISION_COUNTS, sql::CLAIM_ANSWER, sql::FIND_ANSWER,
        sql::EXPIRE_ANSWER, sql::STORE_ANSWER, sql::DROP_ANSWER, sql::DROP_RUNNING_ANSWERS, sql::PRUNE_DELIVERIES,
        sql::PRUNE_QUARANTINE, sql::PRUNE_DECISIONS, sql::PRUNE_COUNTS, sql::PRUNE_ANSWERS,
        sql::TRIM_DECISIONS, sql::TRIM_KIND, sql::COUNT_LET_GO, sql::LET_GO, sql::ADD_REFUSED, sql::TRIM_REFUSED,
        sql::REFUSED_SIGN_INS, sql::PRUNE_REFUSED, sql::CLOSE_PARTS, sql::DISMISS_DELIVERY, sql::OPEN_DELIVERIES,
        sql::QUARANTINE_OF,
    ];
    for statement in all {
        if let Err(error) = db.prepare(sqlx::SqlStr::from_static(statement)).await {
            panic!("{statement}: {error}");
        }
    }
    assert_eq!(all.len(), text.matches("const ").count(), "a statement that this test does not know");
}

#[tokio::test]
async fn the_hot_statements_find_their_rows_by_index() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut db).await.unwrap();
    let hot = [
        sql::SETTLE_PARTS,
        sql::SETTLE_DELIVERIES,
        sql::FIND_DELIVERY,
        sql::PARTS_OF,
        sql::QUARANTINED,
        sql::QUARANTINE_OF,
        sql::PENDING,
        sql::SENT,
        sql::SAID_AGAIN,
        sql::SAME_NOTIFICATION,
        sql::NOTIFICATION_REUSED,
        sql::SAME_IN_QUARANTINE,
        sql::LIST_ALL,
        sql::LIST_SOURCE,
        sql::LIST_VERDICTS,
        sql::DECISIONS_OF_USER,
        sql::DECISIONS_OF_PROJECT,
        sql::PRUNE_DELIVERIES,
        sql::PRUNE_DECISIONS,
        sql::CLOSE_PARTS,
        sql::DISMISS_DELIVERY,
        sql::OPEN_DELIVERIES,
    ];
    for statement in hot {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain).fetch_all(&mut db).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, "detail")).collect();
        let scans = |step: &String| {
            let wholly = ["decision", "decision_image"].iter().any(|table| *step == format!("SCAN {table}"));
            wholly
                || ["delivery", "part", "said", "open"].iter().any(|table| step.starts_with(&format!("SCAN {table}")))
        };
        assert!(!plan.iter().any(scans), "{statement}\n{plan:#?}");
    }
}

#[tokio::test]
async fn what_is_in_quarantine_is_counted_for_each_source_without_reading_bodies() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let of = |name: &'static str| {
        let ops = Arc::clone(&ops);
        async move { ops.quarantine_of(&source(name)).await.unwrap() }
    };
    assert_eq!(of("flexnet").await, Quarantine::default());
    for (n, state) in [(1, unknown_type()), (2, PartState::Pending), (3, unknown_type())] {
        store(&*ops, n, state).await;
    }
    assert_eq!(of("flexnet").await, Quarantine { deliveries: 2, bytes: 8 });
    assert_eq!(of("other").await, Quarantine::default());
    // What is replayed and recorded is in quarantine no more.
    let again = vec![part("product/DB", PartState::Pending)];
    ops.store_replay(&delivery(1, "body"), None, at(9), again, vec![]).await.unwrap();
    assert_eq!(of("flexnet").await, Quarantine { deliveries: 1, bytes: 4 });
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut db).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql::QUARANTINE_OF));
    let plan: String = sqlx::Row::get(&sqlx::query(explain).fetch_one(&mut db).await.unwrap(), "detail");
    assert!(plan.contains("COVERING INDEX delivery_quarantine"), "{plan}");
}

#[tokio::test]
async fn a_delivery_comes_back_as_it_was_kept() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let kept = delivery(1, "{\"a\": \u{0}\"é\"}");
    let parts = vec![part("product/DB", PartState::Pending), part("x", unknown_type())];
    ops.store(kept.clone(), None, parts, vec![], Durability::Synced).await.unwrap();
    let found = ops.find(&id(1)).await.unwrap().unwrap();
    assert_eq!((found.delivery, found.bytes, found.verdict), (kept.clone(), kept.body.len() as u64, Verdict::Pending));
    ops.record_outcomes(&id(1), settled(Verdict::Quarantined, "recorded", 7), Durability::Written).await.unwrap();
    flushed(&*ops).await;
    let shown = ops.delivery(&id(1)).await.unwrap().unwrap();
    assert_eq!((shown.headers, shown.body), (kept.headers, Some(kept.body)));
    assert_eq!((shown.summary.verdict, shown.summary.events, shown.summary.quarantined), (Verdict::Quarantined, 2, 1));
    let row = |part: &PartRow| (part.outcome.clone(), part.position, part.problem.clone().map(|p| (p.kind, p.pointer)));
    let rows: Vec<_> = shown.parts.iter().map(row).collect();
    let problem = Some(("unknown-type".to_owned(), "/type".to_owned()));
    assert_eq!(rows, [("recorded".into(), Some(Position(7)), None), ("quarantined".into(), None, problem)]);
    assert_eq!(ops.find(&id(2)).await.unwrap(), None);
    assert!(ops.delivery(&id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn an_empty_body_is_kept_as_an_empty_body() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    ops.store(delivery(1, ""), None, vec![], vec![], Durability::Written).await.unwrap();
    let shown = ops.delivery(&id(1)).await.unwrap().unwrap();
    assert_eq!((shown.body, shown.summary.verdict), (Some(Bytes::new()), Verdict::Ignored));
}

#[tokio::test]
async fn many_at_once_share_commits_and_none_is_mixed_up() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let many: Vec<_> = (0..200)
        .map(|n| {
            let ops = ops.clone();
            let durability = if n % 3 == 0 { Durability::Synced } else { Durability::Written };
            tokio::spawn(async move {
                let parts = vec![part(&format!("product/{n}"), PartState::Pending)];
                ops.store(delivery(n, &format!("body of {n}")), None, parts, vec![], durability).await.unwrap();
                ops.record_outcomes(&id(n), settled(Verdict::Recorded, "recorded", n as u64), Durability::Written)
                    .await
                    .unwrap();
            })
        })
        .collect();
    for task in many {
        task.await.unwrap();
    }
    ops.close().await;
    let ops = dir.ops().await;
    for n in 0..200 {
        let shown = ops.delivery(&id(n)).await.unwrap().unwrap();
        assert_eq!(shown.body.unwrap(), format!("body of {n}"));
        assert_eq!((shown.summary.verdict, shown.parts[0].position), (Verdict::Recorded, Some(Position(n as u64))));
        assert_eq!(shown.parts[0].subject, Some(format!("product/{n}")));
    }
}

#[tokio::test]
async fn lists_are_newest_first_and_go_on_where_they_ended() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    for n in 0..10 {
        let state = if n % 2 == 0 { unknown_type() } else { PartState::Recorded(Position(1)) };
        let mut delivery = delivery(n, "b");
        delivery.source = source(if n < 5 { "flexnet" } else { "other" });
        ops.store(delivery, None, vec![part("x", state)], vec![], Durability::Written).await.unwrap();
    }
    let list = async |source: Option<&str>, verdicts: &[Verdict]| {
        let filter = DeliveryFilter { source: source.map(self::source), verdicts: verdicts.to_vec() };
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = ops.deliveries(&filter, before.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { return all };
            before = Some(last.id.clone());
            all.extend(page.into_iter().map(|row| (row.id, row.problem.is_some())));
        }
    };
    let ids = |which: &[i64]| which.iter().map(|n| (id(*n), n % 2 == 0)).collect::<Vec<_>>();
    assert_eq!(list(None, &[]).await, ids(&[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]));
    assert_eq!(list(Some("flexnet"), &[]).await, ids(&[4, 3, 2, 1, 0]));
    assert_eq!(list(None, DeliveryFilter::FAILED).await, ids(&[8, 6, 4, 2, 0]));
    assert_eq!(list(Some("other"), &[Verdict::Recorded]).await, ids(&[9, 7, 5]));
    assert_eq!(list(Some("none"), &[]).await, []);
    let quarantined = |source: Option<SourceName>, after: Option<DeliveryId>| {
        let ops = ops.clone();
        async move { ops.quarantined(source.as_ref(), ProblemType::UnknownType, after.as_ref(), 3).await.unwrap() }
    };
    assert_eq!(quarantined(None, None).await, [id(0), id(2), id(4)]);
    assert_eq!(quarantined(None, Some(id(4))).await, [id(6), id(8)]);
    assert_eq!(quarantined(Some(source("other")), None).await, [id(6), id(8)]);
    assert_eq!(ops.quarantined(None, ProblemType::NotYours, None, 3).await.unwrap(), []);
}

#[tokio::test]
async fn a_replay_replaces_the_parts_and_is_remembered() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    store(&*ops, 1, unknown_type()).await;
    let parts = vec![part("product/DB", PartState::Pending)];
    ops.store_replay(&delivery(1, "body"), None, at(50), parts, vec![]).await.unwrap();
    assert_eq!(ops.pending(None, 9).await.unwrap(), [id(1)]);
    ops.record_outcomes(&id(1), settled(Verdict::Recorded, "recorded", 3), Durability::Synced).await.unwrap();
    let shown = ops.delivery(&id(1)).await.unwrap().unwrap();
    assert_eq!(
        (shown.summary.verdict, shown.parts.len(), shown.parts[0].problem.clone()),
        (Verdict::Recorded, 1, None)
    );
    assert_eq!((shown.replays[0].at, shown.replays[0].was.as_str()), (at(50), "quarantined"));
    assert_eq!(ops.pending(None, 9).await.unwrap(), []);
    assert_eq!(ops.quarantined(None, ProblemType::UnknownType, None, 9).await.unwrap(), []);
}

/// "Kept as rejected, bounded in number and bytes" (DESIGN 6); one source's flood pushes out no other's.
#[tokio::test]
async fn rejected_deliveries_are_bounded_in_number_and_bytes() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let mut other = delivery(0, "other");
    other.source = source("other");
    ops.reject(other, "signature-mismatch");
    flushed(&*ops).await;
    let from = |n: i64, body: &str| Delivery {
        client: Some(std::net::Ipv4Addr::new(10, 0, 0, u8::try_from(n % 100).unwrap()).into()),
        ..delivery(n, body)
    };
    let big = "x".repeat(100 << 10);
    for n in 1..=200 {
        ops.reject(from(n, &big), "signature-mismatch");
        flushed(&*ops).await;
    }
    let filter = |name| DeliveryFilter { source: Some(source(name)), verdicts: vec![Verdict::Rejected] };
    let rows = ops.deliveries(&filter("flexnet"), None, 5000).await.unwrap();
    assert_eq!(rows.len(), (8 << 20) / (64 << 10));
    assert_eq!((rows[0].id.clone(), rows[0].bytes), (id(200), 100 << 10));
    assert_eq!(rows[0].reason.as_deref(), Some("signature-mismatch"));
    assert_eq!(ops.delivery(&id(200)).await.unwrap().unwrap().body.unwrap().len(), 64 << 10);
    for n in 1000..2200 {
        ops.reject(from(n, "x"), "signature-mismatch");
        flushed(&*ops).await;
    }
    assert_eq!(ops.deliveries(&filter("flexnet"), None, 5000).await.unwrap().len(), 1000);
    assert_eq!(ops.deliveries(&filter("other"), None, 5000).await.unwrap().len(), 1);
}

/// Rejected ones that nobody waits for may be dropped, but never fill the line for those who wait.
#[tokio::test]
async fn a_flood_of_rejected_deliveries_keeps_no_authentic_one_out() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    // No await in between: the writer does not run.
    for n in 0..10_000 {
        ops.reject(delivery(n, "x"), "signature-mismatch");
    }
    ops.store(delivery(20_000, "good"), None, vec![], vec![], Durability::Written).await.unwrap();
    // In the order in which they were written: more are while it is looked.
    let before = "SELECT count(*) FROM delivery WHERE rowid < (SELECT rowid FROM delivery WHERE verdict <> 'rejected')";
    let mut reader = SqliteConnection::connect(dir.join("ops.db").to_str().unwrap()).await.unwrap();
    let before: i64 = sqlx::query_scalar(before).fetch_one(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    assert!(before <= 1, "the good one came first");
    flushed(&*ops).await;
    assert_eq!(ops.deliveries(&DeliveryFilter::default(), None, 20_000).await.unwrap().len(), 65);
    ops.reject(delivery(30_000, "x"), "signature-mismatch");
    flushed(&*ops).await;
    let gone = ops.let_go().await.unwrap();
    assert_eq!(
        gone.iter().map(|one| (one.kind.as_str(), one.rows)).collect::<Vec<_>>(),
        [("rejected_delivery", 9_936)]
    );
}

fn personal(person: &str, email: Option<&str>, order_key: u64) -> Personal {
    let order_key = format!("{order_key:020}");
    Personal { person: person.parse().unwrap(), email: email.map(Into::into), name: None, order_key }
}

#[tokio::test]
async fn a_late_delivery_does_not_bring_an_old_address_back() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let ada = [(source("flexnet"), "ada".parse().unwrap()), (source("other"), "ada".parse().unwrap())];
    let steps = [(9, Some("new@x"), Some("new@x")), (8, Some("old@x"), Some("new@x")), (10, None, None)];
    for (n, (key, email, expected)) in (0..).zip(steps) {
        let rows = vec![personal("ada", email, key)];
        ops.store(delivery(n, "b"), None, vec![], rows, Durability::Synced).await.unwrap();
        let found = ops.personal_data(&ada).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].email.as_deref(), expected, "{key}");
    }
}

fn holds(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// security.md 2.10: erased is gone from every file, and from nobody else.
#[tokio::test]
async fn what_is_erased_stands_in_no_file_any_more() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let email = "ada@globex.example";
    let body = |person: &str, email: &str| format!(r#"{{"person":"{person}","personal":{{"email":"{email}"}}}}"#);
    let about = |person: &str, state| vec![part(&format!("person/{person}"), state)];
    let recorded = || PartState::Recorded(Position(1));
    let problem = Problem::at(ProblemType::InvalidData, "/data", "found ada@globex.example");
    let ada = vec![personal("ada", Some(email), 1)];
    ops.store(delivery(1, &body("ada", email)), None, about("ada", recorded()), ada, Durability::Synced).await.unwrap();
    let escaped = body("ada", email).replace("ada\"", "\\u0061da\"");
    ops.store(delivery(2, &escaped), None, about("ada", recorded()), vec![], Durability::Synced).await.unwrap();
    let torn = vec![part("?", PartState::Quarantined(problem))];
    ops.store(delivery(3, &body("ada", email)), None, torn, vec![], Durability::Synced).await.unwrap();
    ops.reject(delivery(4, &body("ada", email)), "signature-mismatch");
    let bob = vec![personal("ada-2", Some("bob@globex.example"), 1)];
    let bobs = body("ada-2", "bob@globex.example");
    ops.store(delivery(5, &bobs), None, about("ada-2", recorded()), bob, Durability::Synced).await.unwrap();
    assert!(holds(&dir, email));

    assert_eq!(ops.erase(&source("flexnet"), &"ada".parse().unwrap(), at(99)).await.unwrap(), 4);
    assert!(!holds(&dir, email));
    for n in 1..=4 {
        let shown = ops.delivery(&id(n)).await.unwrap().unwrap();
        assert_eq!((shown.body, shown.summary.erased_at), (None, Some(at(99))));
        // So a replay says that it is gone instead of reading nothing as a body.
        let kept = ops.find(&id(n)).await.unwrap().unwrap();
        assert!(kept.delivery.body.len() as u64 != kept.bytes);
    }
    // That the notification came, and when it was signed, tells nothing of her.
    let again = ops.same_notification(&delivery(9, &body("ada", email))).await.unwrap().deliveries;
    assert_eq!(again.iter().map(|same| same.id.clone()).collect::<Vec<_>>(), [id(1), id(3)]);
    assert!(again.iter().all(|same| same.erased));
    let sent = ops.sent(&[id(1), id(4), id(8)]).await.unwrap();
    let told: Vec<_> = sent.into_iter().map(|(of, sent)| (of, sent.signed_at, sent.refused)).collect();
    assert_eq!(told, [(id(1), Some(at(0)), false), (id(4), Some(at(0)), true)]);
    let people = |name: &str| (source("flexnet"), name.parse().unwrap());
    let left = ops.personal_data(&[people("ada"), people("ada-2")]).await.unwrap();
    assert_eq!((left.len(), left[0].email.as_deref()), (1, Some("bob@globex.example")));
    assert!(ops.delivery(&id(5)).await.unwrap().unwrap().body.is_some());
    assert_eq!(ops.erase(&source("flexnet"), &"ada".parse().unwrap(), at(100)).await.unwrap(), 0);
}

#[tokio::test]
async fn an_erasure_beside_a_reader_that_stays_says_so_and_stops_nothing_else() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    store(&*ops, 1, PartState::Recorded(Position(1))).await;
    let mut reader = SqliteConnection::connect(dir.join("ops.db").to_str().unwrap()).await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT count(*) FROM delivery").await.unwrap();
    store(&*ops, 2, PartState::Recorded(Position(2))).await;
    let person = "ada".parse().unwrap();
    let told = ops.erase(&source("flexnet"), &person, at(5)).await.unwrap_err();
    assert!(matches!(&told, OpsError::Database(why) if why.contains("in use")), "{told}");
    store(&*ops, 3, PartState::Recorded(Position(3))).await;
    reader.close().await.unwrap();
    ops.erase(&source("flexnet"), &person, at(5)).await.unwrap();
}

#[tokio::test]
async fn refused_sign_ins_are_counted_by_hour_and_bounded_for_each_name() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let row = |user: Option<&str>, client: String, seconds: i64| RefusedSignInRow {
        principal: user.map(|user| format!("corp/{user}")),
        name: user.map(str::to_owned),
        client,
        cause: "wrong_password".to_owned(),
        count: 2,
        first_at: at(seconds),
        last_at: at(seconds + 1),
    };
    let home = || "192.0.2.1".to_owned();
    for seconds in [0, 60, 3600] {
        ops.record_refused(&[row(Some("ada"), home(), seconds), row(None, home(), seconds)]).await.unwrap();
    }
    let shown = async |of: Option<&str>| {
        let rows = ops.refused_sign_ins(of, 500).await.unwrap();
        rows.into_iter().map(|row| (row.name.unwrap_or_default(), row.count)).collect::<Vec<_>>()
    };
    assert_eq!(shown(Some("corp/ada")).await, [("ada".to_owned(), 2), ("ada".to_owned(), 4)]);
    assert_eq!(shown(None).await.len(), 4);
    let flood: Vec<_> = (0..300).map(|n| row(Some("bob"), format!("10.0.0.{n}"), 7200 + n)).collect();
    assert_eq!(ops.record_refused(&flood).await.unwrap(), 100);
    assert_eq!((shown(Some("corp/bob")).await.len(), shown(Some("corp/ada")).await.len()), (200, 2));
    let guess = RefusedSignInRow { client: "203.0.113.9".to_owned(), ..row(Some("cyd"), home(), 0) };
    let waits =
        |n: i64| RefusedSignInRow { cause: "waiting".to_owned(), ..row(Some("cyd"), format!("10.0.0.{n}"), 7200 + n) };
    ops.record_refused(&[guess]).await.unwrap();
    ops.record_refused(&(0..300).map(waits).collect::<Vec<_>>()).await.unwrap();
    let kept = ops.refused_sign_ins(Some("corp/cyd"), 500).await.unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().client.as_str()), (200, "203.0.113.9"), "what was guessed stays");
    ops.prune(at(31 * 24 * 3600), &Retention::default()).await.unwrap();
    assert_eq!(shown(None).await, []);
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_for_a_day() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let answer = || StoredAnswer { status: 201, body: b"{}".to_vec() };
    let claim = async |digest, seconds| ops.claim_answer("admin POST k1", digest, at(seconds)).await.unwrap();
    assert_eq!(claim(one, 0).await, Claim::First);
    assert_eq!(claim(one, 1).await, Claim::Running);
    ops.abandon_answer("admin POST k1").await.unwrap();
    assert_eq!(claim(one, 2).await, Claim::First);
    ops.store_answer("admin POST k1", answer()).await.unwrap();
    assert_eq!(claim(one, 3).await, Claim::Answered(answer()));
    assert_eq!(claim(other, 3).await, Claim::Other);
    ops.abandon_answer("admin POST k1").await.unwrap();
    assert_eq!(claim(one, 4).await, Claim::Answered(answer()), "an answer that was given is not taken back");
    assert_eq!(claim(other, 3 + 24 * 3600).await, Claim::First);
    let two = |ops: Arc<dyn Ops>| async move { ops.claim_answer("k2", one, at(0)).await.unwrap() };
    let (a, b) = tokio::join!(two(ops.clone()), two(ops.clone()));
    assert_eq!([a, b].iter().filter(|claim| **claim == Claim::First).count(), 1);
}

#[tokio::test]
async fn a_request_that_ran_when_the_process_died_can_be_sent_again() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    assert_eq!(ops.claim_answer("k", Digest::of(b""), at(0)).await.unwrap(), Claim::First);
    drop(ops);
    let ops = dir.ops().await;
    assert_eq!(ops.claim_answer("k", Digest::of(b""), at(1)).await.unwrap(), Claim::First);
}

#[tokio::test]
async fn pruning_keeps_what_is_young_and_what_somebody_must_still_look_at() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let day = 24 * 3600;
    for n in 0..2500 {
        store(&*ops, n, PartState::Recorded(Position(1))).await;
    }
    store(&*ops, 2500, unknown_type()).await;
    store(&*ops, 2501, PartState::Pending).await;
    store(&*ops, 10 * day, PartState::Recorded(Position(1))).await;
    let denials: Vec<_> = (0..20).map(|n| refusal(n, "ada", &["acme/db"], DecisionOutcome::Denied)).collect();
    ops.record_decisions(&denials).await.unwrap();
    let retention = Retention { denials_at_most: 7, ..Retention::default() };
    assert_eq!(ops.prune(at(0), &retention).await.unwrap(), 13);
    assert_eq!(ops.decisions(&DecisionFilter::default(), None, 50).await.unwrap().len(), 7);
    assert_eq!(ops.prune(at(95 * day), &retention).await.unwrap(), 2500 + 7);
    let left = ops.deliveries(&DeliveryFilter::default(), None, 50).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [id(10 * day), id(2501), id(2500)]);
    assert_eq!(ops.prune(at(370 * day), &retention).await.unwrap(), 3);
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", dir.join("ops.db").display())).await.unwrap();
    let parts: i64 = sqlx::query_scalar("SELECT count(*) FROM part").fetch_one(&mut db).await.unwrap();
    let images: i64 = sqlx::query_scalar("SELECT count(*) FROM decision_image").fetch_one(&mut db).await.unwrap();
    assert_eq!((parts, images), (0, 0), "what hung on them went too");
    assert_eq!(ops.prune(at(0) + TimeDelta::days(370), &Retention::default()).await.unwrap(), 0);
}

/// Promise 1: after a failure nothing is acknowledged before the file was made whole again.
#[tokio::test]
async fn a_failed_write_is_said_and_the_next_one_works() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    store(&*ops, 1, PartState::Pending).await;
    // The same id twice is a failure of the statement; what shares the transaction fails with it and is told so.
    let again = ops.store(delivery(1, "x"), None, vec![], vec![], Durability::Synced).await;
    assert!(matches!(again, Err(InboxError::Unavailable(_))), "{again:?}");
    store(&*ops, 2, PartState::Pending).await;
    assert_eq!(ops.pending(None, 9).await.unwrap(), [id(1), id(2)]);
    ops.close().await;
    let closed = ops.store(delivery(3, "x"), None, vec![], vec![], Durability::Written).await;
    assert!(matches!(closed, Err(InboxError::Unavailable(_))));
    assert!(matches!(ops.record_decisions(&[]).await, Err(OpsError::Database(_))));
}
