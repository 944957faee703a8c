//! Batches built by hand: history, fencing, effects, discarding, swapping, and the view against written-down worlds.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_access::{Change, Effect, Folded, SetDigest};
use rollcall_events::{LogId, Position};
use rollcall_sqlite::{Limits, WriteAhead};

use tokio::sync::RwLock;

use super::{
    batch::Batch,
    file::{Database, LIMITS},
    statements,
    store::{Shared, SqliteRead},
};
use crate::{
    read::{Lists, Origin, Projection, ReadError},
    suite::kit::Dir,
};

pub(super) const ORIGIN: Origin = Origin { version: 1, log_id: LogId([7; 8]) };

pub(super) fn noun(subject: &str) -> &'static str {
    const NOUNS: [&str; 12] = [
        "binding",
        "account",
        "person",
        "permission",
        "product",
        "package",
        "package_product",
        "entitlement",
        "line",
        "entitlement_person",
        "settings",
        "profile",
    ];
    NOUNS.into_iter().find(|noun| subject.split('/').next() == Some(noun)).unwrap()
}

pub(super) fn began(subject: &str, data: &str) -> Change {
    let source = if matches!(noun(subject), "settings" | "profile" | "binding") { "local" } else { "flexnet" };
    Change::FactBegan {
        source: source.parse().unwrap(),
        noun: noun(subject),
        subject: subject.into(),
        data: data.into(),
    }
}

pub(super) fn ended(subject: &str) -> Change {
    Change::FactEnded { source: "flexnet".parse().unwrap(), subject: subject.into() }
}

fn project(package: &str, name: &str, archived: bool) -> Change {
    let (source, package, name) = ("flexnet".parse().unwrap(), package.into(), name.into());
    Change::ProjectNamed { source, package, name, archived }
}

fn parked(subject: &str, reason: Option<&str>) -> Change {
    let source = "flexnet".parse().unwrap();
    Change::Parked { source, subject: subject.into(), reason: reason.map(Into::into) }
}

pub(super) fn folded(position: u64, changes: impl IntoIterator<Item = Change>) -> Folded {
    let (source, subject) = ("flexnet".parse().unwrap(), format!("account/{position}").into());
    let changes = changes.into_iter().collect();
    Folded { position: Position(position), source, subject, effect: Effect::Applied, changes }
}

fn exception(position: u64, effect: Effect) -> Folded {
    Folded { effect, ..folded(position, []) }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_statement_is_prepared_by_the_engine() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let db = read.shared.db.read().await;
    for statement in statements::ALL {
        let prepared = sqlx::Executor::prepare(&db.readers, sqlx::SqlSafeStr::into_sql_str(*statement)).await;
        assert!(prepared.is_ok(), "{prepared:?}: {statement}");
    }
}

#[tokio::test]
async fn a_fact_keeps_its_history_whether_it_changes_within_a_batch_or_across() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let state =
        |state: &str| began("entitlement/E", &format!(r#"{{"entitlement":"E","account":"A","state":"{state}"}}"#));
    let first = [folded(1, [state("draft")]), folded(2, [state("active")]), folded(3, [ended("entitlement/E")])];
    read.apply(&first, Position(0), Position(3)).await.unwrap();
    read.apply(&[folded(5, [state("on_hold")])], Position(3), Position(5)).await.unwrap();
    read.apply(&[folded(6, [state("active")])], Position(5), Position(6)).await.unwrap();
    read.apply(&[folded(8, [ended("entitlement/E")])], Position(6), Position(8)).await.unwrap();
    let history = read.history("flexnet", "entitlement/E").await.unwrap();
    let spans: Vec<_> = history.iter().map(|row| (row.from.0, row.to.map(|to| to.0))).collect();
    assert_eq!(spans, [(1, Some(2)), (2, Some(3)), (5, Some(6)), (6, Some(8))]);
    assert_eq!(history[0].data, r#"{"entitlement":"E","account":"A","state":"draft"}"#);
}

/// How many facts the planner believes that there are.
async fn planned(db: &Database) -> u64 {
    let figures = "SELECT coalesce(max(CAST(stat AS INTEGER)), 0) FROM sqlite_stat1 WHERE tbl = 'fact'";
    let rows: i64 = sqlx::query_scalar(figures).fetch_one(&db.writer).await.unwrap();
    rows.cast_unsigned()
}

#[tokio::test]
async fn the_planners_figures_are_never_of_less_than_half_of_what_the_file_holds() {
    let dir = Dir::new();
    let product = |at: u64| folded(at, [began(&format!("product/{at}"), &format!(r#"{{"product":"{at}"}}"#))]);
    let batch = |from: u64, to: u64| (from + 1..=to).map(product).collect::<Vec<_>>();
    let ends = [0, 2_000, 3_000, 5_000, 9_000];
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    for end in ends.windows(2) {
        read.apply(&batch(end[0], end[1]), Position(end[0]), Position(end[1])).await.unwrap();
        assert!(planned(&*read.shared.db.read().await).await >= end[1] / 2, "up to {}", end[1]);
    }
    // As a version wrote it that took none.
    sqlx::raw_sql("DELETE FROM sqlite_stat1").execute(&read.shared.db.read().await.writer).await.unwrap();
    read.shared.db.write().await.close().await.unwrap();
    let again = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    assert!(planned(&*again.shared.db.read().await).await >= 4_500, "opened");
    let next = Database::create_bulk(&dir.join("read.db.next"), ORIGIN).await.unwrap();
    next.apply(&Batch::of(&batch(0, 5_000)), Position(0), Position(5_000)).await.unwrap();
    next.index().await.unwrap();
    assert!(planned(&next).await >= 2_500, "a second file, before it is held against the roster");
}

#[tokio::test]
async fn a_frozen_file_stands_still_while_batches_are_written() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let now = instant("2026-03-01T12:00:00Z");
    let account = |at: u64| folded(at, [began(&format!("account/{at}"), &format!(r#"{{"account":"{at}"}}"#))]);
    read.apply(&[account(1)], Position(0), Position(1)).await.unwrap();
    let frozen = read.freeze().await.unwrap();
    read.apply(&[account(2)], Position(1), Position(2)).await.unwrap();
    assert_eq!((frozen.position(), read.position().await.unwrap()), (Position(1), Position(2)));
    assert_eq!(frozen.membership_digest(now).await.unwrap(), SetDigest::default().digest());
    // It is gone with its answer: the file can be replaced.
    read.shared.db.write().await.close().await.unwrap();
}

#[tokio::test]
async fn what_a_fact_said_that_is_over_is_forgotten_and_where_it_stood_is_not() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let account = |name: &str| began("account/A", &format!(r#"{{"account":"A","name":"{name}"}}"#));
    let batch: Vec<_> = (1..=6).map(|at| folded(at, [account(&format!("name {at}"))])).collect();
    read.apply(&batch, Position(0), Position(6)).await.unwrap();
    let subjects = [("flexnet".to_owned(), "account/A".to_owned())].into();
    let before = read.events_of(&subjects, Position(6), true).await.unwrap();
    let forgotten = [read.forget(Position(4), 2).await.unwrap(), read.forget(Position(4), 2).await.unwrap()];
    assert_eq!((forgotten, read.forget(Position(4), 2).await.unwrap()), ([2, 1], 0), "in parts, each once");
    let rows = read.history("flexnet", "account/A").await.unwrap();
    let said: Vec<_> = rows.iter().map(|row| (row.from.0, row.to.map(|to| to.0), row.data == "{}")).collect();
    let expected =
        [(1, Some(2), true), (2, Some(3), true), (3, Some(4), true), (4, Some(5), false), (5, Some(6), false)];
    assert_eq!((&said[..5], said[5]), (&expected[..], (6, None, false)));
    assert_eq!(read.events_of(&subjects, Position(6), true).await.unwrap(), before);
    assert_eq!(before.len(), 6);
}

#[tokio::test]
async fn a_second_projector_is_fenced_and_leaves_nothing() {
    let dir = Dir::new();
    let one = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let two = SqliteRead {
        shared: Arc::new(Shared {
            dir: dir.to_path_buf(),
            origin: ORIGIN,
            limits: LIMITS,
            db: RwLock::new(Database::attach(&dir.join("read.db"), LIMITS).await.unwrap()),
        }),
    };
    let fact = |id: &str| folded(1, [began(&format!("product/{id}"), &format!(r#"{{"product":"{id}"}}"#))]);
    one.apply(&[fact("A")], Position(0), Position(1)).await.unwrap();
    let refused = two.apply(&[fact("B")], Position(0), Position(1)).await.unwrap_err();
    assert!(matches!(refused, ReadError::Fenced { expected: Position(0), found: Position(1) }), "{refused}");
    assert_eq!(one.history("flexnet", "product/B").await.unwrap(), []);
    assert_eq!(two.position().await.unwrap(), Position(1));
}

#[tokio::test]
async fn only_exceptional_effects_are_kept_and_every_effect_is_answered() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let batch = [
        folded(1, [began("account/1", r#"{"account":"1","kind":"customer"}"#)]),
        exception(2, Effect::Superseded),
        exception(3, Effect::NoChange),
        exception(4, Effect::Refused("last owner".into())),
        // It applied and changed a fact of another subject: only here does it stand which event that was about.
        folded(5, [began("product/A", r#"{"product":"A"}"#)]),
        exception(9, Effect::Parked("name taken".into())),
    ];
    read.apply(&batch, Position(0), Position(9)).await.unwrap();
    let asked = [1, 5, 9, 4, 3, 2, 10].map(Position);
    let expected = [
        Some(Effect::Applied),
        Some(Effect::Applied),
        Some(Effect::Parked("name taken".into())),
        Some(Effect::Refused("last owner".into())),
        Some(Effect::NoChange),
        Some(Effect::Superseded),
        None,
    ];
    assert_eq!(read.effects(&asked).await.unwrap(), expected);
    let db = read.shared.db.read().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM effect").fetch_one(&db.readers).await.unwrap();
    assert_eq!(kept, 5);
}

#[tokio::test]
async fn parked_marks_appear_change_and_vanish() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let mark = |at, reason| folded(at, [parked("package/K", reason)]);
    read.apply(
        &[mark(1, Some("name taken")), folded(2, [parked("package/L", Some("no name"))])],
        Position(0),
        Position(2),
    )
    .await
    .unwrap();
    assert_eq!(read.parked_count().await.unwrap(), 2);
    read.apply(&[mark(3, Some("no name"))], Position(2), Position(3)).await.unwrap();
    let rows = read.parked(("", ""), 10).await.unwrap();
    assert_eq!((rows[0].position, rows[0].reason.as_str()), (Position(3), "no name"));
    assert_eq!(read.parked(("flexnet", "package/K"), 10).await.unwrap().len(), 1);
    read.apply(&[mark(4, None)], Position(3), Position(4)).await.unwrap();
    assert_eq!(read.parked_count().await.unwrap(), 1);
    // Parked and judged again within one batch leaves no mark.
    read.apply(&[mark(5, Some("no name")), mark(6, None)], Position(4), Position(6)).await.unwrap();
    assert_eq!(read.parked_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_of_another_version_log_or_schema_or_a_damaged_one_is_discarded() {
    let dir = Dir::new();
    let fact = [folded(1, [began("product/A", r#"{"product":"A"}"#)])];
    let path = dir.join("read.db");
    let fill = async || {
        let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
        let at = read.position().await.unwrap();
        if at == Position(0) {
            read.apply(&fact, Position(0), Position(1)).await.unwrap();
        }
        read.shared.db.write().await.close().await.unwrap();
        at
    };
    assert_eq!((fill().await, fill().await), (Position(0), Position(1)), "kept");
    for other in [Origin { version: 2, ..ORIGIN }, Origin { log_id: LogId([8; 8]), ..ORIGIN }] {
        let read = SqliteRead::open(&dir, other).await.unwrap();
        assert_eq!(read.position().await.unwrap(), Position(0), "{other:?}");
        assert_eq!(read.history("flexnet", "product/A").await.unwrap(), []);
        read.shared.db.write().await.close().await.unwrap();
        assert_eq!((fill().await, fill().await), (Position(0), Position(1)));
    }
    let db = Database::attach(&path, LIMITS).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 3").execute(&db.writer).await.unwrap();
    db.close().await.unwrap();
    assert_eq!((fill().await, fill().await), (Position(0), Position(1)), "the schema's number");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..64].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!((fill().await, fill().await), (Position(0), Position(1)), "damaged");
}

#[tokio::test]
async fn a_rebuilt_file_takes_the_place_of_the_one_in_use_while_it_is_read() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let product = |at, name: &str| folded(at, [began("product/A", &format!(r#"{{"product":"A","name":"{name}"}}"#))]);
    read.apply(&[product(1, "wrong")], Position(0), Position(1)).await.unwrap();
    let reader = tokio::spawn({
        let read = read.clone();
        async move {
            loop {
                let rows = read.history("flexnet", "product/A").await.unwrap();
                if rows[0].data.contains("right") {
                    return rows;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let next = read.start_rebuild().await.unwrap();
    next.apply(&[product(1, "right")], Position(0), Position(1)).await.unwrap();
    next.index().await.unwrap();
    next.swap().await.unwrap();
    assert_eq!(reader.await.unwrap().len(), 1);
    // The swapped file is a full one: it takes batches, survives a new start, and the earlier one is kept.
    read.apply(&[product(2, "next")], Position(1), Position(2)).await.unwrap();
    read.shared.db.write().await.close().await.unwrap();
    assert_eq!(SqliteRead::open(&dir, ORIGIN).await.unwrap().position().await.unwrap(), Position(2));
    assert!(dir.join("read.db.old").exists() && !dir.join("read.db.next").exists());
}

/// Too many open files, a directory that cannot be read: it passes, and nobody has to start anew.
#[tokio::test]
async fn a_swap_that_closed_the_file_and_could_not_open_it_again_leaves_nothing_that_stays_closed() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let product = |at| [folded(at, [began("product/A", r#"{"product":"A"}"#)])];
    read.apply(&product(1), Position(0), Position(1)).await.unwrap();
    let next = read.start_rebuild().await.unwrap();
    next.apply(&product(1), Position(0), Position(1)).await.unwrap();
    next.index().await.unwrap();
    // Its file goes, so nothing takes the place of the one that is closed; nor can that be opened.
    read.shared.db.write().await.close().await.unwrap();
    std::fs::rename(dir.join("read.db"), dir.join("elsewhere")).unwrap();
    assert!(next.swap().await.is_err());
    assert!(read.position().await.is_err(), "it is not there");
    std::fs::rename(dir.join("elsewhere"), dir.join("read.db")).unwrap();
    assert_eq!(read.position().await.unwrap(), Position(1));
    read.apply(&product(2), Position(1), Position(2)).await.unwrap();
    assert_eq!(read.history("flexnet", "product/A").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_another_process_holds_open_is_not_replaced() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let product = |at| [folded(at, [began("product/A", r#"{"product":"A"}"#)])];
    read.apply(&product(1), Position(0), Position(1)).await.unwrap();
    let stranger = Database::attach(&dir.join("read.db"), LIMITS).await.unwrap();
    assert_eq!(stranger.position().await.unwrap(), Position(1));
    let next = read.start_rebuild().await.unwrap();
    next.index().await.unwrap();
    assert!(matches!(next.swap().await.unwrap_err(), ReadError::InUse(_)));
    read.apply(&product(2), Position(1), Position(2)).await.unwrap();
    assert_eq!(stranger.position().await.unwrap(), Position(2));
}

/// A world in which ada is a producer's Developer, bob a customer's Guest, both on `acme`.
fn world() -> Vec<Change> {
    let person = |id: &str, account: &str| {
        let user = format!("flexnet/{id}");
        [
            began(&format!("person/{id}"), &format!(r#"{{"person":"{id}","account":"{account}","active":true}}"#)),
            Change::PersonIs { source: "flexnet".parse().unwrap(), person: id.into(), user: user.as_str().into() },
            Change::UserNamed { user: user.into(), name: id.into() },
        ]
    };
    let mut all = vec![
        began("account/ACME", r#"{"account":"ACME","kind":"producer","parent":null}"#),
        began("account/ACME-SUB", r#"{"account":"ACME-SUB","kind":"producer","parent":"ACME"}"#),
        began("account/GLOBEX", r#"{"account":"GLOBEX","kind":"customer"}"#),
        began("account/GLOBEX-SUB", r#"{"account":"GLOBEX-SUB","kind":"customer","parent":"GLOBEX"}"#),
        began("permission/ada/v", r#"{"person":"ada","permission":"view_and_manage_download_packages"}"#),
        began("product/DB", r#"{"product":"DB"}"#),
        began(
            "package/K",
            r#"{"package":"K","producer":"ACME","container_delivery":true,"effective_until":"2026-06-01T02:00:00+02:00"}"#,
        ),
        project("K", "acme", false),
        began("package_product/K/DB", r#"{"package":"K","product":"DB"}"#),
        began("entitlement/E", r#"{"entitlement":"E","account":"GLOBEX","state":"active"}"#),
        began(
            "line/E/1",
            r#"{"line":"E/1","entitlement":"E","product":"DB","starts":"2026-01-01T00:00:00Z","ends":"2026-12-31T00:00:00Z"}"#,
        ),
    ];
    for (id, account) in [("ada", "ACME-SUB"), ("bob", "GLOBEX"), ("cid", "GLOBEX-SUB")] {
        all.extend(person(id, account));
    }
    all
}

/// `user role` of every reason at an instant, after the world and then `changes`, one event each.
async fn members(changes: impl IntoIterator<Item = Change>, at: &str) -> Vec<String> {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let events: Vec<_> = world().into_iter().chain(changes).zip(1..).map(|(change, at)| folded(at, [change])).collect();
    let head = events.last().unwrap().position;
    read.apply(&events, Position(0), head).await.unwrap();
    let rows = read.memberships(None, instant(at)).await.unwrap();
    assert_eq!(
        read.memberships(Some("acme"), instant(at)).await.unwrap().len(),
        rows.iter().filter(|r| r.project == "acme").count()
    );
    rows.iter().map(|row| format!("{} {}", row.user_name, row.role)).collect()
}

const NOON: &str = "2026-03-01T12:00:00Z";

#[tokio::test]
async fn the_view_names_producers_and_customers() {
    assert_eq!(members([], NOON).await, ["ada Developer", "bob Guest"]);
}

#[tokio::test]
async fn the_view_judges_windows_at_the_instant_whatever_the_offset_they_are_written_in() {
    assert_eq!(members([], "2025-12-31T23:59:59Z").await, ["ada Developer"]);
    assert_eq!(members([], "2026-01-01T00:00:00Z").await, ["ada Developer", "bob Guest"]);
    assert_eq!(members([], "2026-05-31T23:59:59Z").await, ["ada Developer", "bob Guest"]);
    assert_eq!(members([], "2026-06-01T00:00:00Z").await, ["ada Developer"], "the package's window");
}

#[tokio::test]
async fn the_view_ends_a_reason_with_any_object_that_it_names() {
    for subject in ["account/ACME", "account/ACME-SUB", "permission/ada/v", "person/ada"] {
        assert_eq!(members([ended(subject)], NOON).await, ["bob Guest"], "{subject}");
    }
    for subject in ["account/GLOBEX", "product/DB", "package_product/K/DB", "entitlement/E", "line/E/1", "person/bob"] {
        assert_eq!(members([ended(subject)], NOON).await, ["ada Developer"], "{subject}");
    }
    assert_eq!(members([ended("package/K"), project("K", "acme", true)], NOON).await, [""; 0]);
}

#[tokio::test]
async fn the_view_gives_accounts_of_a_cycle_no_parent_and_their_subaccounts_still_theirs() {
    let cycle = began("account/ACME", r#"{"account":"ACME","kind":"producer","parent":"ACME-SUB"}"#);
    assert_eq!(members([cycle.clone()], NOON).await, ["bob Guest"]);
    let own = began("account/ACME", r#"{"account":"ACME","kind":"producer","parent":"ACME"}"#);
    assert_eq!(members([own], NOON).await, ["ada Developer", "bob Guest"], "ACME-SUB is in no cycle");
    let deeper = [
        began("account/DEEP", r#"{"account":"DEEP","kind":"producer","parent":"ACME-SUB"}"#),
        began("person/ada", r#"{"person":"ada","account":"DEEP","active":true}"#),
    ];
    assert_eq!(members(deeper.clone(), NOON).await, ["ada Developer", "bob Guest"]);
    assert_eq!(members(deeper.into_iter().chain([cycle]), NOON).await, ["bob Guest"]);
}

#[tokio::test]
async fn the_view_narrows_an_entitlement_for_ever_once_a_person_was_assigned() {
    let narrowed = Change::Narrowed { source: "flexnet".parse().unwrap(), entitlement: "E".into() };
    let assigned = began("entitlement_person/E/cid", r#"{"entitlement":"E","person":"cid"}"#);
    assert_eq!(members([narrowed.clone()], NOON).await, ["ada Developer"], "unassigned before anybody was assigned");
    let named = [narrowed, assigned];
    assert_eq!(members(named.clone(), NOON).await, ["ada Developer", "cid Guest"]);
    let ended = [ended("entitlement_person/E/cid")];
    assert_eq!(members(named.into_iter().chain(ended), NOON).await, ["ada Developer"]);
}

#[tokio::test]
async fn the_view_gives_what_is_bound_to_the_project_or_to_all_within_its_window() {
    let bound = |scope: &str| {
        let data = format!(
            r#"{{"principal":{{"user":"flexnet/cid"}},"role":"developer","scope":{scope},"author":"x","ends":"2026-03-01T12:00:00Z"}}"#
        );
        let levels = r#"{"levels":["registry","project"],"roles":{"Developer":{"at":["registry","project"]},"Guest":{"at":["project"]}}}"#;
        [began("profile", levels), began("binding/1", &data)]
    };
    for scope in [r#""root""#, r#"{"project":"flexnet/K"}"#] {
        assert_eq!(
            members(bound(scope), "2026-03-01T11:59:59Z").await,
            ["ada Developer", "bob Guest", "cid Developer"]
        );
        assert_eq!(members(bound(scope), NOON).await, ["ada Developer", "bob Guest"]);
    }
    let elsewhere = bound(r#"{"project":"flexnet/L"}"#);
    assert_eq!(members(elsewhere, "2026-02-01T00:00:00Z").await, ["ada Developer", "bob Guest"]);
    let not_there = bound(r#""root""#).into_iter().skip(1);
    assert_eq!(members(not_there, "2026-02-01T00:00:00Z").await, ["ada Developer", "bob Guest"], "only on projects");
}

#[tokio::test]
async fn the_view_follows_the_settings() {
    let settings = |data: &str| began("settings", data);
    let profile = began("profile", r#"{"roles":{"Project Admin":{},"Guest":{}},"rules":{"consumer_role":"guest"}}"#);
    assert_eq!(
        members([settings(r#"{"producer_role":"project_admin","customer_sub_accounts":true}"#), profile], NOON).await,
        ["ada Project Admin", "bob Guest", "cid Guest"]
    );
    let lacking = began("profile", r#"{"roles":{"Guest":{}}}"#);
    assert_eq!(members([lacking], NOON).await, ["bob Guest"], "a role that the profile lacks is not given");
    let sources = |authoritative| {
        settings(&format!(r#"{{"sources":{{"flexnet":{{"order":"version","authoritative":{authoritative}}}}}}}"#))
    };
    let linked = [
        Change::PersonIs { source: "flexnet".parse().unwrap(), person: "cid".into(), user: "flexnet/ada".into() },
        began("person/cid", r#"{"person":"cid","account":null,"active":false}"#),
    ];
    assert_eq!(members(linked.clone().into_iter().chain([sources(false)]), NOON).await, ["ada Developer", "bob Guest"]);
    assert_eq!(members(linked.into_iter().chain([sources(true)]), NOON).await, ["bob Guest"]);
}

#[tokio::test]
async fn a_renamed_project_keeps_its_earlier_name_as_alias() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let batch = [folded(1, [project("K", "acme", false)]), folded(2, [project("K", "acme-db", false)])];
    read.apply(&batch, Position(0), Position(2)).await.unwrap();
    let names: Vec<_> = read.project_history("flexnet", "K").await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["acme", "acme-db"]);
    let db = read.shared.db.read().await;
    let aliases: Vec<(String, String)> =
        sqlx::query_as("SELECT alias, project FROM project_alias").fetch_all(&db.readers).await.unwrap();
    assert_eq!(aliases, [("acme".to_owned(), "acme-db".to_owned())]);
}

#[tokio::test]
async fn facts_are_paged_by_source_and_subject() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    let batch: Vec<_> =
        (1..=5).map(|n| folded(n, [began(&format!("product/{n}"), &format!(r#"{{"product":"{n}"}}"#))])).collect();
    read.apply(&batch, Position(0), Position(5)).await.unwrap();
    let mut after = (String::new(), String::new());
    let mut seen = Vec::new();
    loop {
        let page = read.facts("product", (&after.0, &after.1), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.source.clone(), last.subject.clone());
        seen.extend(page.into_iter().map(|row| row.subject));
    }
    assert_eq!(seen, ["product/1", "product/2", "product/3", "product/4", "product/5"]);
}

/// Somebody with their own SQL who sees what there is now, and keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_is_told_of_until_it_is_gone() {
    let dir = Dir::new();
    SqliteRead::open(&dir, ORIGIN).await.unwrap().shared.db.read().await.close().await.unwrap();
    let (look_again, most) = (std::time::Duration::from_millis(20), 1 << 20);
    let limits = Limits { step: 64 << 10, most, look_again, rest: std::time::Duration::ZERO, ..LIMITS };
    let db = Database::attach(&dir.join("read.db"), limits).await.unwrap();
    let mut reader = db.freeze().await.unwrap();
    let large = "x".repeat(100_000);
    for n in 1..30 {
        let fact = began(&format!("product/{n}"), &format!(r#"{{"product":"{n}","name":"{large}"}}"#));
        db.apply(&Batch::of(&[folded(n, [fact])]), Position(n - 1), Position(n)).await.unwrap();
    }
    while db.write_ahead().held.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(db.write_ahead().bytes > most);
    sqlx::raw_sql("ROLLBACK").execute(&mut reader.connection).await.unwrap();
    while db.write_ahead() != (WriteAhead { database: "read.db", ..WriteAhead::default() }) {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::metadata(dir.join("read.db-wal")).unwrap().len(), 0, "what it took is given back");
}
