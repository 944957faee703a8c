//! The same notification again: what it costs, the room that it takes, and what is known of when it was sent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use rollcall_eventlog::{Filter, Head, Log, Moment, SignedHead, Tail, TailError, When};
use rollcall_events::{LogId, Order, Position, Recorded};
use tokio::sync::watch;

use super::{
    deliveries::{Setup, setup_ordered, setup_with},
    kit::TestClock,
    without_ids::{OFF, ON, of, post, post_signed, refused, words},
};
use crate::{
    connector::Headers,
    delivery::{Quarantine, ReceiveError, Receiver},
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
        let told = setup.receiver.receive("flexnet", super::deliveries::call(&body)).await.unwrap_err();
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
