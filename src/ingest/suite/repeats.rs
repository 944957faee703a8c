//! The same notification again: what it costs, the room that it takes, and what is known of when it was sent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chrono::DateTime;
use futures_util::stream::BoxStream;
use rollcall_eventlog::{Append as _, Filter, Head, Log, Moment, SignedHead, Tail, TailError, When};
use rollcall_events::{Body, LogId, NewEvent, Order, Position, Recorded};
use tokio::sync::watch;

use super::{
    deliveries::{Setup, call, setup_ordered, setup_with},
    kit::TestClock,
    without_ids::{OFF, ON, of, post, post_signed, refused, words},
};
use crate::{
    connector::Headers,
    delivery::{DeliveryId, Quarantine, ReceiveError, Receiver, Sent},
};

/// A log of which every question is counted.
struct Counted {
    log: Log,
    asked: AtomicUsize,
}

impl Counted {
    fn log(&self) -> &Log {
        self.asked.fetch_add(1, Ordering::Relaxed);
        &self.log
    }
}

#[async_trait]
impl Tail for Counted {
    fn log_id(&self) -> LogId {
        Tail::log_id(&self.log)
    }
    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>> {
        self.log().read(after, page)
    }
    fn head(&self) -> watch::Receiver<Head> {
        self.log.head()
    }
    async fn page(&self, after: Position, limit: usize, of: &Filter) -> Result<(Vec<Recorded>, Position), TailError> {
        self.log().page(after, limit, of).await
    }
    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>> {
        self.log().records(positions)
    }
    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
        self.log().by_id(source, begins, limit).await
    }
    async fn since_by_id(
        &self,
        source: &str,
        begins: &[String],
        since: Position,
    ) -> Result<Vec<Vec<Position>>, TailError> {
        self.log().since_by_id(source, begins, since).await
    }
    async fn newest_by_id(&self, source: &str, begins: &[String]) -> Result<Vec<Option<Position>>, TailError> {
        self.log().newest_by_id(source, begins).await
    }
    async fn newest_by_other_id(&self, source: &str, begins: &str) -> Result<Option<Position>, TailError> {
        self.log().newest_by_other_id(source, begins).await
    }
    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        self.log().moment(when).await
    }
    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        self.log().signed_head().await
    }
    fn public_key_pem(&self) -> String {
        self.log.public_key_pem()
    }
}

/// How often log and inbox were asked by the last of these, each a notification and what it says of so many subjects.
async fn asked(order: Order, posts: &[(&str, &str)], subjects: usize, id: &str) -> [usize; 2] {
    let mut setup = setup_ordered(order);
    let tail = Arc::new(Counted { log: setup.log.log.clone(), asked: AtomicUsize::new(0) });
    let clock = Arc::new(TestClock::default());
    let log = (setup.log.clone() as Arc<_>, tail.clone() as Arc<dyn Tail>);
    setup.receiver = Receiver::new(vec![setup.route.clone()], setup.inbox.clone(), log, clock);
    for (n, (notification, lines)) in posts.iter().enumerate() {
        tail.asked.store(0, Ordering::Relaxed);
        setup.inbox.lookups.store(0, Ordering::Relaxed);
        let event = |line: &str, subject: usize, nth: usize| {
            // The sender's own id of an event is another for each.
            let own = format!("{notification}.{subject}.{nth}");
            let id = if id == "e" { own.as_str() } else { id };
            of(&format!("p{subject}"), &line.replacen('-', id, 1))
        };
        let said = |subject| lines.lines().enumerate().map(move |(nth, line)| event(line, subject, nth));
        let body: Vec<String> = (0..subjects).flat_map(said).collect();
        let expected = body.len();
        let (_, words) = post_signed(&setup, notification, &body.join("\n")).await;
        assert_eq!(words.len(), expected, "{n}");
    }
    [tail.asked.load(Ordering::Relaxed), setup.inbox.lookups.load(Ordering::Relaxed)]
}

#[tokio::test]
async fn what_comes_again_costs_the_same_number_of_questions_whatever_the_number_of_its_subjects() {
    let both = format!("{ON}\n{OFF}");
    let late = format!("{OFF}\n{ON}");
    for id in ["-", "=n", "e"] {
        for posts in [
            // It comes again as it came.
            &[("n1", ON), ("n1", ON)][..],
            // Something else was said since.
            &[("n1", ON), ("n2", OFF), ("n1", ON)],
            // Several statements of one subject, known and as new notification.
            &[("n1", &both), ("n1", &both)],
            &[("n1", &both), ("n2", &both)],
            &[("n1", &both), ("n2", &late), ("n1", &both)],
        ] {
            let [few, many] =
                [asked(Order::Observed, posts, 2, id).await, asked(Order::Observed, posts, 100, id).await];
            assert_eq!(few, many, "{id} {posts:?}");
        }
    }
}

/// Posts what was signed so many seconds later, or earlier, by the sender's clock.
async fn post_signed_then(setup: &Setup, id: &str, signed: i64, body: &str) -> (DeliveryId, Vec<String>) {
    let mut call = call(body);
    call.headers.insert("notification", id.parse().unwrap());
    call.headers.insert("signed-at", format!("{signed}").parse().unwrap());
    let answer = setup.receiver.receive("flexnet", call).await.unwrap();
    (answer.delivery.clone(), words(&answer))
}

/// How many deliveries are kept.
fn kept(setup: &Setup) -> usize {
    setup.inbox.rows.lock().unwrap().len()
}

#[tokio::test]
async fn a_notification_that_cannot_be_read_takes_the_room_of_one_however_often_it_is_sent() {
    for order in [Order::Observed, Order::Version] {
        let setup = setup_with(order, Quarantine { deliveries: 2, bytes: 10_000 });
        let body = format!("{}\n?{}", of("q", &ON.replacen('-', "e1", 1)), OFF.replacen('-', "e2", 1));
        let (first, said) = post_signed(&setup, "n1", &body).await;
        assert_eq!(said, ["recorded 1"]);
        for _ in 0..5 {
            let (again, said) = post_signed(&setup, "n1", &body).await;
            assert_eq!((again, said), (first.clone(), vec!["duplicate 1".to_owned()]), "it is gone over where it is");
        }
        assert_eq!(kept(&setup), 1);
        // Another notification has its own room, and so has whatever is signed by nobody.
        let revoked = format!("{body}\n{}", OFF.replacen('-', "e3", 1));
        assert_eq!(post_signed(&setup, "n2", &revoked).await.1, ["duplicate 1", "recorded 2"]);
        let told = setup.receiver.receive("flexnet", call(&body)).await.unwrap_err();
        assert!(matches!(told, ReceiveError::QuarantineFull { .. }), "{told:?}");
        // Once it can be read it is taken where it came.
        setup.fix_the_mapping();
        let (mended, said) = post_signed(&setup, "n1", &body).await;
        assert_ne!(mended, first, "it can be read: it is a delivery as any other");
        assert_eq!(said[0], "duplicate 1", "{said:?}");
    }
}

/// Its headers are erased with the person of whom it told, or its source tells its sender by something else now.
#[tokio::test]
async fn when_a_delivery_was_signed_is_known_also_where_its_headers_are_gone() {
    let setup = setup_ordered(Order::Observed);
    // The second is older by the sender's clock than the first.
    let [newer, older] = [refused(&setup, "n1", -3000, OFF).await, refused(&setup, "n0", -4000, ON).await];
    assert_eq!(words(&setup.receiver.replay(&newer).await.unwrap()), ["recorded 1"]);
    setup.inbox.rows.lock().unwrap().get_mut(&newer).unwrap().0.headers = Headers::default();
    assert_eq!(words(&setup.receiver.replay(&older).await.unwrap()), ["superseded 1"]);
    assert_eq!(post(&setup, OFF).await.1, ["duplicate 1"]);
}

/// Posts what the log does not take.
async fn unrecorded(setup: &Setup, notification: &str, body: &str) {
    setup.refuse(true);
    let mut lost = call(body);
    lost.headers.insert("notification", notification.parse().unwrap());
    setup.receiver.receive("flexnet", lost).await.unwrap_err();
    setup.refuse(false);
}

#[tokio::test]
async fn what_was_known_when_it_was_said_again_is_newer_than_what_came_before_it() {
    // In quarantine, refused by the log, refused at the door: and in between the revocation is said again, which is known.
    for way in ["quarantined", "unrecorded", "refused"] {
        let setup = setup_ordered(Order::Observed);
        assert_eq!(post_signed(&setup, "n0", OFF).await.1, ["recorded 1"]);
        let late = match way {
            "quarantined" => Some(post_signed(&setup, "n1", &format!("?{ON}")).await.0),
            "refused" => Some(refused(&setup, "n1", -1, ON).await),
            _ => {
                unrecorded(&setup, "n1", ON).await;
                None
            }
        };
        assert_eq!(post_signed(&setup, "n2", OFF).await.1, ["duplicate 1"]);
        setup.fix_the_mapping();
        let said = match late {
            Some(late) => words(&setup.receiver.replay(&late).await.unwrap()),
            None => post_signed(&setup, "n1", ON).await.1,
        };
        assert_eq!(said, ["superseded 1"], "{way}");
        assert_eq!(setup.head(), 1);
    }
}

#[tokio::test]
async fn what_a_repeat_records_counts_as_of_when_it_came_first() {
    for way in ["unrecorded", "refused"] {
        let setup = setup_ordered(Order::Observed);
        if way == "unrecorded" {
            unrecorded(&setup, "n1", ON).await;
        } else {
            refused(&setup, "n1", -1, ON).await;
        }
        let (kept, _) = post_signed(&setup, "n2", &format!("?{OFF}")).await;
        let again = match way {
            "unrecorded" => post_signed(&setup, "n1", ON).await.1,
            _ => post_signed_then(&setup, "n1", -1, ON).await.1,
        };
        assert_eq!(again, ["recorded 1"]);
        setup.fix_the_mapping();
        assert_eq!(words(&setup.receiver.replay(&kept).await.unwrap()), ["recorded 2"], "{way}");
    }
}

/// What is kept of refused deliveries is bounded, and what is kept of a person can be erased.
#[tokio::test]
async fn when_a_notification_came_first_is_known_also_where_that_delivery_is_gone() {
    let setup = setup_ordered(Order::Observed);
    let first = refused(&setup, "n1", -1, ON).await;
    assert_eq!(post_signed(&setup, "n2", OFF).await.1, ["recorded 1"]);
    assert_eq!(post_signed_then(&setup, "n1", -1, ON).await.1, ["superseded 1"]);
    setup.inbox.rows.lock().unwrap().remove(&first);
    for _ in 0..3 {
        assert_eq!(post_signed_then(&setup, "n1", -1, ON).await.1, ["superseded 1"]);
    }
}

#[tokio::test]
async fn what_a_notification_said_last_stands_where_it_cannot_be_read_any_more() {
    let setup = setup_ordered(Order::Observed);
    setup.fix_the_mapping();
    let (first, said) = post_signed(&setup, "n1", &format!("{ON}\n?{OFF}")).await;
    assert_eq!(said, ["recorded 1", "recorded 2"]);
    setup.hook.fixed.store(false, Ordering::Relaxed);
    assert_eq!(post_signed(&setup, "n1", &format!("{ON}\n?{OFF}")).await.1, ["duplicate 1"]);
    assert_eq!(words(&setup.receiver.replay(&first).await.unwrap()), ["duplicate 1"]);
    // Also where the first was known, so that nothing in the log is that delivery's own.
    let setup = setup_ordered(Order::Observed);
    setup.fix_the_mapping();
    assert_eq!(post(&setup, ON).await.1, ["recorded 1"]);
    assert_eq!(post_signed(&setup, "n1", &format!("{ON}\n?{OFF}")).await.1, ["duplicate 1", "recorded 2"]);
    setup.hook.fixed.store(false, Ordering::Relaxed);
    assert_eq!(post_signed(&setup, "n1", &format!("{ON}\n?{OFF}")).await.1, ["duplicate 1"]);
    assert_eq!(setup.head(), 2);
}

#[test]
fn what_was_refused_in_the_second_in_which_something_else_was_signed_is_not_newer() {
    let at = |millis: i64| DateTime::from_timestamp_millis(1_767_225_600_000 + millis).unwrap();
    let sent = |received: i64, signed: i64, refused: bool| Sent {
        id: DeliveryId::new(at(received), [7; 10]),
        received_at: at(received),
        signed_at: Some(at(signed)),
        refused,
    };
    // By a clock that is ahead of ours, so that its arrival counts.
    let ahead = sent(500, 303_000, true);
    assert!(sent(700, 0, false).is_after(&ahead));
    assert!(!ahead.is_after(&sent(700, 0, false)));
    assert!(ahead.is_after(&sent(400, -1_000, false)));
    // What came as it was signed and was refused is in the order of arrival within its second.
    assert!(sent(700, 0, true).is_after(&sent(500, 0, false)) && !sent(3_700, 0, true).is_after(&sent(500, 0, false)));
}

#[tokio::test]
async fn what_was_read_before_a_notification_came_is_older_than_that() {
    let setup = setup_ordered(Order::Observed);
    let body = Body::parse("rollcall.package.product.mapped.v1", r#"{"package":"p","product":"DB"}"#).unwrap();
    let read = NewEvent::of("flexnet".parse().unwrap(), "read-1".to_owned(), &body);
    setup.log.log.append(vec![NewEvent { correlation: Some("run-1".into()), ..read }]).await.unwrap();
    let (kept, _) = post_signed(&setup, "n1", &format!("?{OFF}")).await;
    setup.fix_the_mapping();
    assert_eq!(words(&setup.receiver.replay(&kept).await.unwrap()), ["recorded 2"]);
}

#[tokio::test]
async fn a_statement_is_not_taken_for_an_event_that_has_an_id_of_its_own() {
    let setup = setup_ordered(Order::Observed);
    let body = format!("{ON}\n?{}", ON.replacen('-', "e1", 1));
    assert_eq!(post_signed(&setup, "n1", &body).await.1, ["recorded 1"]);
    setup.fix_the_mapping();
    assert_eq!(post_signed(&setup, "n1", &body).await.1, ["duplicate 1", "recorded 2"]);
    assert_eq!(post_signed(&setup, "n2", OFF).await.1, ["recorded 3"]);
    assert_eq!(post_signed(&setup, "n3", &ON.replacen('-', "e1", 1)).await.1, ["duplicate 2"]);
}
