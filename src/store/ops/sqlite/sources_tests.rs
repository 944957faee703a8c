//! What is kept of sources that are asked: the same of a real file and of the stores in memory that ingest is tested with.

use chrono::DateTime;
use rollcall_events::{Epoch, LogId, Position, SourceName, body::Author};
use rollcall_ingest::{
    AbsentMembers, BaselineEntries, BaselineEntry, BaselineState, ChangeKind, ExcludedFacts, LastFullRead, Personal,
    Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState, SavedCursor, SourceState, SourceStatus, SourceStore,
    connector::{Cursor, PersonalData, StateUpdate},
    testkit::MemorySourceStore,
};
use sqlx::{Connection, Executor, SqliteConnection};

use super::{sources_sql as sql, store::MIGRATIONS};
use crate::{ops::Retention, suite::kit::Dir};

const LOG: LogId = LogId([1; 8]);
const UP: &str = "rollcall.person.upserted.v1";
const GONE: &str = "rollcall.person.removed.v1";

fn source(name: &str) -> SourceName {
    name.parse().unwrap()
}

fn entries(rows: &[(&str, u64, &str)]) -> BaselineEntries {
    let row = |(subject, position, kind): &(&str, u64, &str)| {
        ((*subject).into(), BaselineEntry::of(Position(*position), subject, kind, &format!("{{{subject}}}")))
    };
    rows.iter().map(row).collect()
}

async fn all(store: &dyn SourceStore, source: &SourceName) -> BaselineEntries {
    let mut all = BaselineEntries::new();
    store.for_each_entry(source, &mut |subject, entry| _ = all.insert(subject.into(), entry)).await.unwrap();
    all
}

fn reached(position: u64) -> BaselineState {
    BaselineState { position: Position(position), epoch: Epoch(3), scope: Some("s".into()), open: None }
}

fn plan(n: u64, why: PlanReason) -> Plan {
    Plan {
        id: format!("pln_{n:032x}").parse().unwrap(),
        source: source("corp"),
        made_at: DateTime::from_timestamp(n.cast_signed(), 0).unwrap(),
        position: Position(7),
        why,
        reason: "40 of its 100 facts".into(),
        state: PlanState::Open,
        closed: None,
        facts: 100,
        additions: 1,
        changes: 2,
        removals: 40,
        removals_digest: "aa".into(),
        rows_digest: "bb".into(),
    }
}

fn row(n: u64) -> PlanRow {
    PlanRow {
        verb: if n == 0 { ChangeKind::Add } else { ChangeKind::Remove },
        kind: UP.into(),
        subject: format!("person/{n}"),
        data: "{}".into(),
        was: (n > 0).then(|| "{\"a\":1}".into()),
        text: format!("the person {n} is gone"),
    }
}

async fn conformance(store: &dyn SourceStore) {
    let corp = source("corp");
    // The baseline keeps the last of each subject, per source, and forgets another log.
    assert_eq!(store.baseline_state(LOG, &corp).await.unwrap(), BaselineState::default());
    let said = entries(&[("person/a", 1, UP), ("member/g/person/a", 2, UP), ("member/g2/person/a", 3, UP)]);
    store.fold(LOG, &corp, &said, &reached(3)).await.unwrap();
    store.fold(LOG, &source("other"), &entries(&[("person/a", 4, UP)]), &reached(4)).await.unwrap();
    store.fold(LOG, &corp, &entries(&[("person/a", 5, GONE)]), &reached(5)).await.unwrap();
    assert_eq!(store.baseline_state(LOG, &corp).await.unwrap(), reached(5));
    let last = entries(&[("person/a", 5, GONE), ("member/g/person/a", 2, UP), ("member/g2/person/a", 3, UP)]);
    assert_eq!(all(store, &corp).await, last);
    assert_eq!(last.values().filter(|entry| entry.present).count(), 2);
    let some = |subjects: &[&str], prefixes: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (subjects, prefixes) = (own(subjects), own(prefixes));
        async move { store.entries(&source("corp"), &subjects, &prefixes).await.unwrap().into_keys().collect::<Vec<_>>() }
    };
    assert_eq!(some(&["person/a", "person/none"], &[]).await, ["person/a".into()]);
    assert_eq!(some(&[], &["member/g/"]).await, ["member/g/person/a".into()]);
    assert_eq!(some(&["person/a"], &["member/"]).await.len(), 3);
    assert_eq!(store.baseline_state(LogId([2; 8]), &corp).await.unwrap(), BaselineState::default());
    assert_eq!(all(store, &corp).await.len(), 0);

    // A plan that waits takes the place of others; one that was asked for does not take the place of one that waits.
    let (asked, held, later, newer) = (
        plan(1, PlanReason::Asked),
        plan(2, PlanReason::Guard),
        plan(3, PlanReason::Asked),
        plan(4, PlanReason::Empty),
    );
    let state = |id: PlanId| async move { store.plan(&id).await.unwrap().unwrap().state };
    store.save_plan(&asked, &[]).await.unwrap();
    store.save_plan(&held, &[row(0), row(1)]).await.unwrap();
    assert_eq!(state(asked.id.clone()).await, PlanState::Superseded);
    store.save_plan(&later, &[]).await.unwrap();
    assert_eq!(store.held_plan(&corp).await.unwrap(), Some(held.clone()));
    store.save_plan(&newer, &[]).await.unwrap();
    assert_eq!((state(held.id.clone()).await, state(later.id).await), (PlanState::Superseded, PlanState::Superseded));
    let closed = |by: &str| PlanClosure { at: DateTime::UNIX_EPOCH, by: Some(Author::from_stored(by.to_owned())) };
    store.close_plan(&newer.id, PlanState::Applied, &closed("user:corp/kim")).await.unwrap();
    store.close_plan(&newer.id, PlanState::Discarded, &closed("admin key")).await.unwrap();
    let kept = store.plan(&newer.id).await.unwrap().unwrap();
    let first = (PlanState::Applied, Some(closed("user:corp/kim")));
    assert_eq!((kept.state, kept.closed), first, "what became of it does not change");
    let superseded = store.plan(&held.id).await.unwrap().unwrap().closed;
    assert_eq!(superseded, Some(PlanClosure { at: newer.made_at, by: None }), "nobody decided on it");
    assert_eq!(store.held_plan(&corp).await.unwrap(), None);

    let mut status = SourceStatus {
        source: corp.clone(),
        state: SourceState::Unreachable,
        reason: Some("cut".into()),
        checked_at: DateTime::UNIX_EPOCH,
        sealed_at: None,
        applied: Position(9),
        facts: 5,
        failures: 2,
        absent: AbsentMembers { count: 1, first: vec!["cn=x".into()] },
        outside: AbsentMembers { count: 2, first: vec!["cn=y".into()] },
        excluded: ExcludedFacts { count: 1, first: vec![("group/g".into(), "no answer".into())] },
        whole: None,
    };
    assert_eq!(store.status(&corp).await.unwrap(), None);
    store.save_status(&status).await.unwrap();
    status.state = SourceState::Healthy;
    status.sealed_at = Some(DateTime::UNIX_EPOCH);
    status.whole = Some(LastFullRead { at: DateTime::UNIX_EPOCH, why: "first start".into() });
    store.save_status(&status).await.unwrap();
    assert_eq!(store.status(&corp).await.unwrap(), Some(status));

    // Where a follower goes on, and its sync state: all of it, then what changed, then none.
    let followed = |n: u8| SavedCursor {
        log: LOG.to_string(),
        scope: "s".into(),
        position: Position(u64::from(n)),
        cursor: Cursor(vec![n, 0, 255]),
    };
    assert_eq!((store.saved_cursor(&corp).await.unwrap(), store.sync_state(&corp).await.unwrap()), (None, vec![]));
    let note = |key: &str, value: &[u8]| (key.to_owned(), value.to_vec());
    let many: Vec<_> = (0..4000).map(|n| note(&format!("n{n:04}"), &[0, 7])).collect();
    store.save_sync_state(&corp, &followed(1), StateUpdate::Replace(many.clone())).await.unwrap();
    assert_eq!(
        (store.saved_cursor(&corp).await.unwrap(), store.sync_state(&corp).await.unwrap()),
        (Some(followed(1)), many)
    );
    let few = vec![note("a", b""), note("b", &[0, 255]), note("c", b"c")];
    store.save_sync_state(&corp, &followed(2), StateUpdate::Replace(few)).await.unwrap();
    store
        .save_sync_state(&source("other"), &followed(9), StateUpdate::Replace(vec![note("a", b"other")]))
        .await
        .unwrap();
    let changed =
        vec![("a".to_owned(), None), ("b".to_owned(), Some(b"new".to_vec())), ("d".to_owned(), Some(vec![1]))];
    store.save_sync_state(&corp, &followed(3), StateUpdate::Merge(changed)).await.unwrap();
    assert_eq!(store.saved_cursor(&corp).await.unwrap(), Some(followed(3)));
    assert_eq!(store.sync_state(&corp).await.unwrap(), [note("b", b"new"), note("c", b"c"), note("d", &[1])]);
    store.forget_sync_state(&corp).await.unwrap();
    assert_eq!((store.saved_cursor(&corp).await.unwrap(), store.sync_state(&corp).await.unwrap()), (None, vec![]));
    assert_eq!(store.sync_state(&source("other")).await.unwrap(), [note("a", b"other")]);

    let ada = |email: &str, order_key: &str| Personal {
        person: "ada".parse().unwrap(),
        email: Some(email.into()),
        name: None,
        order_key: order_key.into(),
    };
    store.save_personal(&corp, vec![ada("a@x.test", "1")]).await.unwrap();
    store.save_personal(&corp, vec![ada("b@x.test", "2")]).await.unwrap();
    let (kept, persons) = (PersonalData { email: Some("b@x.test".into()), name: None }, ["ada".parse().unwrap()]);
    let names: Vec<PersonalData> = store.personal(&corp, &persons).await.unwrap().into_values().collect();
    assert_eq!(names, std::slice::from_ref(&kept));
    assert!(store.personal(&corp, &["bob".parse().unwrap()]).await.unwrap().is_empty());
    let mut names = Vec::new();
    store.for_each_personal(&corp, &mut |person, of| names.push((person.to_owned(), of))).await.unwrap();
    assert_eq!(names, [("ada".to_owned(), kept)]);
}

#[tokio::test]
async fn people_who_have_one_address_are_found_together_some_at_a_time() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let all = [("ada", "A@x"), ("bob", "b@x"), ("cyd", "a@X"), ("dan", "c@x"), ("eve", "C@x"), ("fay", "")];
    let rows = all.map(|(person, email)| Personal {
        person: person.parse().unwrap(),
        email: Some(email.into()),
        name: None,
        order_key: "1".into(),
    });
    ops.save_personal(&source("corp"), rows.to_vec()).await.unwrap();
    let names = async |after: &str, limit| -> Vec<Vec<String>> {
        let found = ops.shared_addresses(after, limit).await.unwrap();
        found.into_iter().map(|of| of.into_iter().map(|row| row.person).collect()).collect()
    };
    let all = [vec!["ada", "cyd"], vec!["dan", "eve"]];
    assert_eq!(names("", 9).await, all);
    assert_eq!(names("", 1).await, all[..1]);
    assert_eq!(names("corp/ada", 9).await, all[1..]);
}

#[tokio::test]
async fn a_file_and_memory_keep_the_same_of_a_source() {
    conformance(&MemorySourceStore::default()).await;
    let dir = Dir::new();
    conformance(&*dir.ops().await).await;
}

#[tokio::test]
async fn plans_are_listed_with_their_rows_and_pruned_when_they_wait_no_longer() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    for n in 1..=3 {
        let rows: Vec<PlanRow> = (0..n).map(row).collect();
        ops.save_plan(&plan(n, PlanReason::Guard), &rows).await.unwrap();
    }
    let ids = |plans: Vec<Plan>| plans.into_iter().map(|plan| plan.id).collect::<Vec<_>>();
    let all = ids(ops.plans(None, None, 9).await.unwrap());
    assert_eq!((all.len(), all[0].clone()), (3, plan(3, PlanReason::Guard).id));
    assert_eq!(ids(ops.plans(Some(&source("corp")), Some(&all[1]), 9).await.unwrap()), all[2..]);
    assert_eq!(ops.plans(Some(&source("other")), None, 9).await.unwrap(), []);
    let rows = ops.plan_rows(&all[0], Some(0), 9).await.unwrap();
    assert_eq!(rows, [(1, row(1)), (2, row(2))]);
    assert_eq!(ops.plan_rows(&all[0], None, 1).await.unwrap(), [(0, row(0))]);
    let far = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
    ops.save_plan(&plan(4, PlanReason::Asked), &[row(0)]).await.unwrap();
    ops.prune(far, &Retention::default()).await.unwrap();
    assert_eq!(ids(ops.plans(None, None, 9).await.unwrap()), all[..1], "one that waits stays, with what it names");
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_finds_its_rows_by_index() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut db).await.unwrap();
    let all = [
        sql::BASELINE_STATE,
        sql::FORGET_BASELINE,
        sql::FORGET_BASELINE_STATE,
        sql::FOLD_BASELINE_STATE,
        sql::FOLD_ENTRIES,
        sql::BASELINE_PAGE,
        sql::BASELINE_SUBJECTS,
        sql::BASELINE_PREFIXES,
        sql::SUPERSEDE_PLANS,
        sql::INSERT_PLAN,
        sql::INSERT_PLAN_ROWS,
        sql::FIND_PLAN,
        sql::HELD_PLAN,
        sql::LIST_PLANS,
        sql::LIST_PLANS_OF,
        sql::PLAN_ROWS,
        sql::CLOSE_PLAN,
        sql::PRUNE_PLANS,
        sql::SOURCE_STATUS,
        sql::SOURCE_STATUSES,
        sql::SAVE_STATUS,
        sql::SAVED_CURSOR,
        sql::SAVE_CURSOR,
        sql::DELETE_CURSOR,
        sql::STATE_ENTRIES,
        sql::SAVE_STATE_ENTRIES,
        sql::DELETE_STATE_ENTRIES,
        sql::CLEAR_STATE_ENTRIES,
        sql::NAMES_PAGE,
        sql::NAMES,
    ];
    assert_eq!(all.len(), include_str!("sources_sql.rs").matches("const ").count(), "one that this test does not know");
    for statement in all {
        if let Err(error) = db.prepare(sqlx::SqlStr::from_static(statement)).await {
            panic!("{statement}: {error}");
        }
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain).fetch_all(&mut db).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, "detail")).collect();
        assert!(!steps.iter().any(|step| step.starts_with("SCAN baseline")), "{statement}: {steps:?}");
        if statement.contains("AS wanted") {
            let by_key = |step: &String| step.contains("source=? AND subject") || step.contains("source=? AND person");
            assert!(steps.iter().any(by_key), "{statement} goes through the whole source: {steps:?}");
        }
    }
}
