//! What is kept of a notification beside its bytes: what was signed, when it was sent first, and what it said again.

use rollcall_events::{Digest, Position};
use rollcall_ingest::{Durability, Part, PartForm, PartState, SaidAgain, Verdict};
use sqlx::{Connection, Executor, SqliteConnection};

use super::{
    ops_tests::{at, delivery, flushed, id, large, part, source, unknown_type},
    store::MIGRATIONS,
};
use crate::suite::kit::Dir;

#[tokio::test]
async fn what_was_signed_of_older_notifications_is_known_after_an_upgrade() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let digest = Digest::of(b"body").to_string();
    for migration in MIGRATIONS.iter() {
        if migration.version == 15 {
            let rows = sqlx::query(
                "INSERT INTO delivery (id, source, received_at, headers, bytes, verdict, notification) \
                 VALUES ('a', 's', 7, '[]', 4, 'recorded', 'm' || char(10) || $1), ('b', 's', 8, '[]', 4, 'recorded', 'm'), \
                 ('c', 's', 9, '[]', 4, 'recorded', NULL)",
            );
            rows.bind(&digest).execute(&mut db).await.unwrap();
        }
        db.execute(migration.sql.clone()).await.unwrap();
    }
    let rows = "SELECT concat_ws(' ', id, notification, digest, signed_at) FROM delivery ORDER BY id";
    let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut db).await.unwrap();
    assert_eq!(rows, [format!("a m {digest} 7"), "b m 8".to_owned(), "c".to_owned()]);
}

#[tokio::test]
async fn what_came_again_says_when_it_was_sent_first_also_where_that_is_gone() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    // Longer than what is kept of a rejected body.
    ops.reject(large(1), "timestamp-stale");
    flushed(&*ops).await;
    let same = ops.same_notification(&large(2)).await.unwrap().deliveries;
    let same: Vec<_> = same.into_iter().map(|same| (same.id, same.verdict)).collect();
    assert_eq!(same, [(id(1), Verdict::Rejected)]);
    let (_, first) = ops.sent(&[id(1)]).await.unwrap().remove(0);
    assert_eq!((first.id.clone(), first.received_at, first.refused), (id(1), at(1), true));
    ops.store(large(2), Some(&first), vec![], vec![], Durability::Synced).await.unwrap();
    ops.store(large(3), None, vec![part("x", unknown_type())], vec![], Durability::Synced).await.unwrap();
    assert_eq!(
        ops.same_in_quarantine(&large(4)).await.unwrap(),
        Some((id(3), vec![PartForm { in_quarantine: true, subject: Some("x".to_owned()) }]))
    );
    ops.store_replay(&large(3), Some(&first), at(9), vec![], vec![]).await.unwrap();
    assert_eq!(ops.same_in_quarantine(&large(4)).await.unwrap(), None);
    assert_eq!(ops.sent(&[id(2), id(3)]).await.unwrap(), [(id(2), first.clone()), (id(3), first)]);
}

#[tokio::test]
async fn what_was_said_again_of_a_subject_is_found_behind_a_delivery() {
    let dir = Dir::new();
    let ops = dir.ops().await;
    let unnamed = |subject: &str, state| Part { id: None, ..part(subject, state) };
    let known = || PartState::Duplicate(Position(7));
    for (n, parts) in [
        (1, vec![unnamed("x", known())]),
        (2, vec![unnamed("x", known()), unnamed("y", known()), part("x", known())]),
        (3, vec![unnamed("x", PartState::Recorded(Position(8))), unnamed("z", known())]),
    ] {
        ops.store(delivery(n, "b"), None, parts, vec![], Durability::Synced).await.unwrap();
    }
    let again = ops.said_again(&source("flexnet"), &["x".into(), "z".into()], &id(1), &id(9)).await.unwrap();
    let again: Vec<_> = again.iter().map(|again| (&*again.subject, &again.delivery, again.position.0)).collect();
    assert_eq!(again, [("x", &id(2), 7), ("z", &id(3), 7)]);
    assert_eq!(ops.said_again(&source("other"), &["x".into()], &id(0), &id(9)).await.unwrap(), []);
    let newest = |again: Vec<SaidAgain>| again.iter().map(|again| again.delivery.clone()).collect::<Vec<_>>();
    let of_x = async |but| newest(ops.said_again(&source("flexnet"), &["x".into()], &id(0), &id(but)).await.unwrap());
    assert_eq!((of_x(9).await, of_x(2).await), (vec![id(2)], vec![id(1)]), "the newest, and not that which is meant");
}
