//! Decisions against a real file: what is kept of them, found, counted and let go, and that they come after everything else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rollcall_events::Position;
use rollcall_ingest::PartState;
use sqlx::{Connection, Executor, SqliteConnection};

use super::ops_tests::{at, store};
use crate::{
    ops::{DecisionFilter, DecisionKind, DecisionOutcome, DecisionRow, Retention},
    suite::kit::Dir,
};

pub(super) fn refusal(n: i64, user: &str, images: &[&str], outcome: DecisionOutcome) -> DecisionRow {
    DecisionRow {
        id: rollcall_events::prefixed_id("dec", at(n), [0; 10]),
        at: at(n),
        outcome,
        user_id: Some(user.into()),
        user_name: Some(user.into()),
        client: "10.0.0.7".into(),
        family: "docker".into(),
        asked: format!("repository:{}:pull", images[0]),
        granted: String::new(),
        message: None,
        position: Position(5),
        count: 1,
        kind: DecisionKind::Tied,
        caller: user.into(),
        together: None,
        images: images.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn refusals_are_found_by_user_project_image_and_time_and_grants_are_counted() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    use DecisionOutcome::{Denied, Granted, Reduced};
    let rows = [
        refusal(1, "ada", &["acme/db"], Denied),
        refusal(2, "ada", &["acme/web", "globex/app"], Reduced),
        refusal(3, "bob", &["acme/db"], Denied),
        refusal(4, "bob", &["acme/db"], Granted),
        refusal(3601, "bob", &["acme/db"], Granted),
    ];
    ops.record_decisions(&rows).await.unwrap();
    ops.record_decisions(&rows[3..4]).await.unwrap();
    let search = async |filter: DecisionFilter| {
        let rows = ops.decisions(&filter, None, 50).await.unwrap();
        rows.iter().map(|row| (row.at - at(0)).num_seconds()).collect::<Vec<_>>()
    };
    let any = DecisionFilter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(search(any()).await, [3, 2, 1]);
    assert_eq!(search(DecisionFilter { user: text("ada"), ..any() }).await, [2, 1]);
    assert_eq!(search(DecisionFilter { project: text("acme"), ..any() }).await, [3, 2, 1]);
    assert_eq!(search(DecisionFilter { project: text("globex"), ..any() }).await, [2]);
    assert_eq!(search(DecisionFilter { image: text("acme/db"), ..any() }).await, [3, 1]);
    assert_eq!(search(DecisionFilter { image: text("acme/db"), user: text("bob"), ..any() }).await, [3]);
    assert_eq!(search(DecisionFilter { from: Some(at(2)), until: Some(at(3)), ..any() }).await, [2]);
    let page = ops.decisions(&any(), Some(&rows[1].id), 1).await.unwrap();
    assert_eq!(page[0].id, rows[0].id);
    let found = ops.decision(&rows[2].id).await.unwrap().unwrap();
    assert_eq!((found.family.as_str(), found.position, found.outcome), ("docker", Position(5), Denied));
    assert_eq!(ops.decision(&rows[3].id).await.unwrap(), None, "what was granted is only counted");
    let counts = ops.decision_counts(at(60), at(7200), Some("acme")).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|c| ((c.hour - at(0)).num_hours(), c.outcome.as_str(), c.count)).collect();
    assert_eq!(counts, [(0, "denied", 2), (0, "granted", 2), (0, "reduced", 1), (1, "granted", 1)]);
}

/// A process that writes the file holds everybody up; what it lets through then comes in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_decisions_come_after_everything_else() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let mut stray = SqliteConnection::connect(dir.join("ops.db").to_str().unwrap()).await.unwrap();
    stray.execute("BEGIN IMMEDIATE").await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let decisions: Vec<_> = (0..40)
        .map(|n| {
            let (ops, done) = (ops.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let row = refusal(n, "ada", &["acme/db"], DecisionOutcome::Denied);
                ops.record_decisions(&[row]).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    // Every one of them is in line before the delivery comes.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let delivery = tokio::spawn({
        let (ops, done) = (ops.clone(), Arc::clone(&done));
        async move {
            store(&*ops, 100, PartState::Recorded(Position(1))).await;
            done.load(Ordering::SeqCst)
        }
    });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    stray.execute("ROLLBACK").await.unwrap();
    let before = delivery.await.unwrap();
    assert!(before <= 3, "{before} records of decisions were written before a delivery that came after them");
    for decision in decisions {
        decision.await.unwrap();
    }
    assert_eq!(ops.decisions(&DecisionFilter::default(), None, 50).await.unwrap().len(), 40, "and none is lost");
}

#[tokio::test]
async fn what_is_refused_to_somebody_without_a_tie_is_counted_by_no_project_and_numbers_have_a_budget() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    use DecisionKind::{Anonymous, Stranger, Tied};
    use DecisionOutcome::{Denied, Granted};
    let of = |n: i64, kind, outcome| DecisionRow { kind, ..refusal(n, "ada", &[&format!("p{n}/x")], outcome) };
    let many: Vec<_> = (0..50).flat_map(|n| [of(n, Anonymous, Denied), of(100 + n, Stranger, Denied)]).collect();
    ops.record_decisions(&many).await.unwrap();
    ops.record_decisions(&[of(200, Tied, Denied), of(201, Anonymous, Granted)]).await.unwrap();
    let counts = ops.decision_counts(at(0), at(3600), None).await.unwrap();
    let shown: Vec<_> = counts.iter().map(|c| (c.project.as_str(), c.outcome.as_str(), c.count)).collect();
    assert_eq!(shown, [("", "denied", 100), ("p200", "denied", 1), ("p201", "granted", 1)]);
    let hours: Vec<_> = (0..40).map(|n| of(n * 3600, Tied, Granted)).collect();
    ops.record_decisions(&hours).await.unwrap();
    ops.prune(at(0), &Retention { counts_at_most: 10, ..Retention::default() }).await.unwrap();
    let kept = ops.decision_counts(at(0), at(41 * 3600), None).await.unwrap();
    assert_eq!((kept.len(), kept[0].hour), (10, at(30 * 3600)), "the oldest went");
}

#[tokio::test]
async fn a_full_budget_lets_the_oldest_of_the_same_kind_and_caller_go_and_counts_it() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let of = |n: i64, user: &str, kind| DecisionRow { kind, ..refusal(n, user, &["acme/db"], DecisionOutcome::Denied) };
    let others = [of(1, "bob", DecisionKind::Stranger), of(2, "ada", DecisionKind::Tied)];
    assert_eq!(ops.record_decisions(&others).await.unwrap(), 0);
    let many: Vec<_> = (10..270).map(|n| of(n, "ada", DecisionKind::Stranger)).collect();
    assert_eq!(ops.record_decisions(&many).await.unwrap(), 160);
    let kept = ops.decisions(&DecisionFilter::default(), None, 500).await.unwrap();
    let of_user =
        |user: &str, kind| kept.iter().filter(|row| row.user_name.as_deref() == Some(user) && row.kind == kind).count();
    assert_eq!(of_user("ada", DecisionKind::Stranger), 100);
    assert_eq!((of_user("ada", DecisionKind::Tied), of_user("bob", DecisionKind::Stranger)), (1, 1));
    let gone = ops.let_go().await.unwrap();
    assert_eq!(gone.iter().map(|one| (one.kind.as_str(), one.rows)).collect::<Vec<_>>(), [("decision_stranger", 160)]);
}

#[tokio::test]
async fn requests_that_are_counted_together_are_one_row_and_nobody_in_particular_has_one_budget() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let of = |n: i64, network: &str| DecisionRow {
        kind: DecisionKind::Anonymous,
        user_id: None,
        user_name: None,
        caller: String::new(),
        together: Some(network.to_owned()),
        count: 3,
        ..refusal(n, "nobody", &["acme/db"], DecisionOutcome::Denied)
    };
    for n in 0..5 {
        ops.record_decisions(&[of(n, "192.0.2.0/24"), of(10 + n, "198.51.100.0/24")]).await.unwrap();
    }
    let kept = ops.decisions(&DecisionFilter::default(), None, 50).await.unwrap();
    assert_eq!(kept.iter().map(|row| (row.count, row.at)).collect::<Vec<_>>(), [(15, at(14)), (15, at(4))]);
    let networks: Vec<_> = (0..10_050).map(|n| of(100 + n, &format!("network {n}"))).collect();
    assert_eq!(ops.record_decisions(&networks).await.unwrap(), 52);
}
