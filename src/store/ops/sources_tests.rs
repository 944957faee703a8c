//! What is kept of sources that are asked: the same of a real file and of the stores in memory that ingest is tested with.

use std::path::PathBuf;

use chrono::DateTime;
use rollcall_events::{Epoch, LogId, Position, SourceName, body::Author};
use rollcall_ingest::{
    Absent, Closed, Excluded, Followed, Mark, Marks, Personal, Plan, PlanId, PlanState, Reached, Records, Row, Shelf,
    Standing, State, Verb, Whole, Why,
    memory::MemoryShelf,
    pull::{Cursor, Names, Notes},
};
use sqlx::{Connection, Executor, SqliteConnection};

use super::{MIGRATIONS, Ops, Retention, sources_sql as sql};

const LOG: LogId = LogId([1; 8]);
const UP: &str = "rollcall.person.upserted.v1";
const GONE: &str = "rollcall.person.removed.v1";

fn source(name: &str) -> SourceName {
    name.parse().unwrap()
}

fn marks(rows: &[(&str, u64, &str)]) -> Marks {
    let row = |(subject, position, kind): &(&str, u64, &str)| {
        ((*subject).into(), Mark::of(Position(*position), subject, kind, &format!("{{{subject}}}")))
    };
    rows.iter().map(row).collect()
}

async fn all(shelf: &dyn Shelf, source: &SourceName) -> Marks {
    let mut all = Marks::new();
    shelf.each(source, &mut |subject, mark| _ = all.insert(subject.into(), mark)).await.unwrap();
    all
}

fn reached(position: u64) -> Reached {
    Reached { position: Position(position), epoch: Epoch(3), scope: Some("s".into()), open: None }
}

fn plan(n: u64, why: Why) -> Plan {
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

fn row(n: u64) -> Row {
    Row {
        verb: if n == 0 { Verb::Add } else { Verb::Remove },
        kind: UP.into(),
        subject: format!("person/{n}"),
        data: "{}".into(),
        was: (n > 0).then(|| "{\"a\":1}".into()),
        text: format!("the person {n} is gone"),
    }
}

async fn conformance(shelf: &dyn Shelf) {
    let corp = source("corp");
    // The mirror keeps the last of each subject, per source, and forgets another log.
    assert_eq!(shelf.reached(LOG, &corp).await.unwrap(), Reached::default());
    let said = marks(&[("person/a", 1, UP), ("member/g/person/a", 2, UP), ("member/g2/person/a", 3, UP)]);
    shelf.fold(LOG, &corp, &said, &reached(3)).await.unwrap();
    shelf.fold(LOG, &source("other"), &marks(&[("person/a", 4, UP)]), &reached(4)).await.unwrap();
    shelf.fold(LOG, &corp, &marks(&[("person/a", 5, GONE)]), &reached(5)).await.unwrap();
    assert_eq!(shelf.reached(LOG, &corp).await.unwrap(), reached(5));
    let last = marks(&[("person/a", 5, GONE), ("member/g/person/a", 2, UP), ("member/g2/person/a", 3, UP)]);
    assert_eq!(all(shelf, &corp).await, last);
    assert_eq!(last.values().filter(|mark| mark.stands).count(), 2);
    let some = |subjects: &[&str], prefixes: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (subjects, prefixes) = (own(subjects), own(prefixes));
        async move { shelf.some(&source("corp"), &subjects, &prefixes).await.unwrap().into_keys().collect::<Vec<_>>() }
    };
    assert_eq!(some(&["person/a", "person/none"], &[]).await, ["person/a".into()]);
    assert_eq!(some(&[], &["member/g/"]).await, ["member/g/person/a".into()]);
    assert_eq!(some(&["person/a"], &["member/"]).await.len(), 3);
    assert_eq!(shelf.reached(LogId([2; 8]), &corp).await.unwrap(), Reached::default());
    assert_eq!(all(shelf, &corp).await.len(), 0);

    // A plan that waits takes the place of others; one that was asked for does not take the place of one that waits.
    let (asked, held, later, newer) =
        (plan(1, Why::Asked), plan(2, Why::Brake), plan(3, Why::Asked), plan(4, Why::Empty));
    let state = |id: PlanId| async move { shelf.plan(&id).await.unwrap().unwrap().state };
    shelf.keep_plan(&asked, &[]).await.unwrap();
    shelf.keep_plan(&held, &[row(0), row(1)]).await.unwrap();
    assert_eq!(state(asked.id.clone()).await, PlanState::Superseded);
    shelf.keep_plan(&later, &[]).await.unwrap();
    assert_eq!(shelf.held_plan(&corp).await.unwrap(), Some(held.clone()));
    shelf.keep_plan(&newer, &[]).await.unwrap();
    assert_eq!((state(held.id.clone()).await, state(later.id).await), (PlanState::Superseded, PlanState::Superseded));
    let closed = |by: &str| Closed { at: DateTime::UNIX_EPOCH, by: Some(Author::kept(by.to_owned())) };
    shelf.close_plan(&newer.id, PlanState::Applied, &closed("user:corp/kim")).await.unwrap();
    shelf.close_plan(&newer.id, PlanState::Discarded, &closed("admin key")).await.unwrap();
    let kept = shelf.plan(&newer.id).await.unwrap().unwrap();
    let first = (PlanState::Applied, Some(closed("user:corp/kim")));
    assert_eq!((kept.state, kept.closed), first, "what became of it does not change");
    let superseded = shelf.plan(&held.id).await.unwrap().unwrap().closed;
    assert_eq!(superseded, Some(Closed { at: newer.made_at, by: None }), "nobody decided on it");
    assert_eq!(shelf.held_plan(&corp).await.unwrap(), None);

    let mut standing = Standing {
        source: corp.clone(),
        state: State::Unreachable,
        reason: Some("cut".into()),
        checked_at: DateTime::UNIX_EPOCH,
        sealed_at: None,
        applied: Position(9),
        facts: 5,
        failures: 2,
        absent: Absent { count: 1, first: vec!["cn=x".into()] },
        excluded: Excluded { count: 1, first: vec![("group/g".into(), "no answer".into())] },
        whole: None,
    };
    assert_eq!(shelf.standing(&corp).await.unwrap(), None);
    shelf.note(&standing).await.unwrap();
    standing.state = State::Healthy;
    standing.sealed_at = Some(DateTime::UNIX_EPOCH);
    standing.whole = Some(Whole { at: DateTime::UNIX_EPOCH, why: "first start".into() });
    shelf.note(&standing).await.unwrap();
    assert_eq!(shelf.standing(&corp).await.unwrap(), Some(standing));

    // Where a follower goes on, and its notebook: all of it, then what changed, then none.
    let followed = |n: u8| Followed {
        log: LOG.to_string(),
        scope: "s".into(),
        position: Position(u64::from(n)),
        cursor: Cursor(vec![n, 0, 255]),
    };
    assert_eq!((shelf.followed(&corp).await.unwrap(), shelf.notes(&corp).await.unwrap()), (None, vec![]));
    let note = |key: &str, value: &[u8]| (key.to_owned(), value.to_vec());
    let many: Vec<_> = (0..4000).map(|n| note(&format!("n{n:04}"), &[0, 7])).collect();
    shelf.keep_followed(&corp, &followed(1), Notes::All(many.clone())).await.unwrap();
    assert_eq!((shelf.followed(&corp).await.unwrap(), shelf.notes(&corp).await.unwrap()), (Some(followed(1)), many));
    let few = vec![note("a", b""), note("b", &[0, 255]), note("c", b"c")];
    shelf.keep_followed(&corp, &followed(2), Notes::All(few)).await.unwrap();
    shelf.keep_followed(&source("other"), &followed(9), Notes::All(vec![note("a", b"other")])).await.unwrap();
    let changed =
        vec![("a".to_owned(), None), ("b".to_owned(), Some(b"new".to_vec())), ("d".to_owned(), Some(vec![1]))];
    shelf.keep_followed(&corp, &followed(3), Notes::Changed(changed)).await.unwrap();
    assert_eq!(shelf.followed(&corp).await.unwrap(), Some(followed(3)));
    assert_eq!(shelf.notes(&corp).await.unwrap(), [note("b", b"new"), note("c", b"c"), note("d", &[1])]);
    shelf.forget_followed(&corp).await.unwrap();
    assert_eq!((shelf.followed(&corp).await.unwrap(), shelf.notes(&corp).await.unwrap()), (None, vec![]));
    assert_eq!(shelf.notes(&source("other")).await.unwrap(), [note("a", b"other")]);

    let ada = |email: &str, order_key: &str| Personal {
        person: "ada".parse().unwrap(),
        email: Some(email.into()),
        name: None,
        order_key: order_key.into(),
    };
    shelf.keep_names(&corp, vec![ada("a@x.test", "1")]).await.unwrap();
    shelf.keep_names(&corp, vec![ada("b@x.test", "2")]).await.unwrap();
    let (kept, persons) = (Names { email: Some("b@x.test".into()), name: None }, ["ada".parse().unwrap()]);
    let names: Vec<Names> = shelf.names(&corp, &persons).await.unwrap().into_values().collect();
    assert_eq!(names, std::slice::from_ref(&kept));
    assert!(shelf.names(&corp, &["bob".parse().unwrap()]).await.unwrap().is_empty());
    let mut names = Vec::new();
    shelf.each_name(&corp, &mut |person, of| names.push((person.to_owned(), of))).await.unwrap();
    assert_eq!(names, [("ada".to_owned(), kept)]);
}

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rollcall-sources-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_file_and_memory_keep_the_same_of_a_source() {
    conformance(&MemoryShelf::default()).await;
    let dir = Dir::new("same");
    conformance(&Ops::open(&dir.0).await.unwrap()).await;
}

#[tokio::test]
async fn plans_are_listed_with_their_rows_and_pruned_when_they_wait_no_longer() {
    let dir = Dir::new("plans");
    let ops = Ops::open(&dir.0).await.unwrap();
    for n in 1..=3 {
        let rows: Vec<Row> = (0..n).map(row).collect();
        ops.keep_plan(&plan(n, Why::Brake), &rows).await.unwrap();
    }
    let ids = |plans: Vec<Plan>| plans.into_iter().map(|plan| plan.id).collect::<Vec<_>>();
    let all = ids(ops.plans(None, None, 9).await.unwrap());
    assert_eq!((all.len(), all[0].clone()), (3, plan(3, Why::Brake).id));
    assert_eq!(ids(ops.plans(Some(&source("corp")), Some(&all[1]), 9).await.unwrap()), all[2..]);
    assert_eq!(ops.plans(Some(&source("other")), None, 9).await.unwrap(), []);
    let rows = ops.plan_rows(&all[0], Some(0), 9).await.unwrap();
    assert_eq!(rows, [(1, row(1)), (2, row(2))]);
    assert_eq!(ops.plan_rows(&all[0], None, 1).await.unwrap(), [(0, row(0))]);
    let far = DateTime::from_timestamp(4_000_000_000, 0).unwrap();
    ops.keep_plan(&plan(4, Why::Asked), &[row(0)]).await.unwrap();
    ops.prune(far, &Retention::default()).await.unwrap();
    assert_eq!(ids(ops.plans(None, None, 9).await.unwrap()), all[..1], "one that waits stays, with what it names");
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_finds_its_rows_by_index() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut db).await.unwrap();
    let all = [
        sql::REACHED,
        sql::FORGET_MIRROR,
        sql::FORGET_REACHED,
        sql::FOLD_REACHED,
        sql::FOLD_MARKS,
        sql::MIRROR_PAGE,
        sql::MIRROR_SUBJECTS,
        sql::MIRROR_PREFIXES,
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
        sql::STANDING,
        sql::STANDINGS,
        sql::NOTE_STANDING,
        sql::FOLLOWED,
        sql::KEEP_FOLLOWED,
        sql::FORGET_FOLLOWED,
        sql::NOTES,
        sql::KEEP_NOTES,
        sql::DROP_NOTES,
        sql::FORGET_NOTES,
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
        assert!(!steps.iter().any(|step| step.starts_with("SCAN mirror")), "{statement}: {steps:?}");
        if statement.contains("AS wanted") {
            let by_key = |step: &String| step.contains("source=? AND subject") || step.contains("source=? AND person");
            assert!(steps.iter().any(by_key), "{statement} goes through the whole source: {steps:?}");
        }
    }
}
