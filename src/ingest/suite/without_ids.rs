//! Deliveries of senders that give their events no ids: what comes again is told from what is said anew.

use std::sync::atomic::Ordering;

use rollcall_eventlog::{Filter, Tail};
use rollcall_events::{Order, Position};

use super::deliveries::{Setup, call, outcomes, setup, setup_ordered};
use crate::{
    connector::ProblemType,
    delivery::{DeliveryId, Durability, PartState, ReceiveError, Verdict},
};

pub(super) const ON: &str = "- rollcall.package.product.mapped.v1 1 {\"package\":\"p\",\"product\":\"DB\"}";
pub(super) const OFF: &str = "- rollcall.package.product.unmapped.v1 1 {\"package\":\"p\",\"product\":\"DB\"}";

impl Setup {
    pub(super) fn refuse(&self, refuses: bool) {
        self.log.refuses.store(refuses, Ordering::Relaxed);
    }
    /// How often something was handed to the log.
    fn batches(&self) -> usize {
        self.log.batches.load(Ordering::Relaxed)
    }
    /// What the log has, each as its type and what is told of it.
    async fn log(&self) -> Vec<String> {
        let records = self.log.log.page(Position(0), usize::MAX, &Filter::default()).await.unwrap().0;
        records.iter().map(|record| format!("{} {}", record.event.subject, record.event.kind)).collect()
    }
    /// Sets a delivery back to where a crash leaves one of which the note was lost.
    fn lose_the_note(&self, id: &DeliveryId) {
        let mut rows = self.inbox.rows.lock().unwrap();
        let (_, verdict, parts) = rows.get_mut(id).unwrap();
        *verdict = Verdict::Pending;
        parts.iter_mut().for_each(|part| part.state = PartState::Pending);
    }
    pub(super) fn fix_the_mapping(&self) {
        self.hook.fixed.store(true, Ordering::Relaxed);
    }
    fn rejected(&self) -> DeliveryId {
        let rows = self.inbox.rows.lock().unwrap();
        rows.iter().find(|(_, (_, verdict, _))| *verdict == Verdict::Rejected).unwrap().0.clone()
    }
    fn durabilities(&self) -> Vec<Durability> {
        self.inbox.asked.lock().unwrap().clone()
    }
}

/// What a body came to, in words.
pub(super) async fn post(setup: &Setup, body: &str) -> (DeliveryId, Vec<String>) {
    let answer = setup.receiver.receive("flexnet", call(body)).await.unwrap();
    (answer.delivery.clone(), words(&answer))
}

/// The same, signed with an id of the notification.
pub(super) async fn post_signed(setup: &Setup, id: &str, body: &str) -> (DeliveryId, Vec<String>) {
    let mut call = call(body);
    call.headers.insert("notification", id.parse().unwrap());
    let answer = setup.receiver.receive("flexnet", call).await.unwrap();
    (answer.delivery.clone(), words(&answer))
}

pub(super) fn words(answer: &crate::delivery::DeliveryAnswer) -> Vec<String> {
    outcomes(answer).into_iter().map(|(word, at)| format!("{word} {at}")).collect()
}

/// The package that is told of, otherwise.
pub(super) fn of(package: &str, line: &str) -> String {
    line.replace("\"p\"", &format!("\"{package}\""))
}

#[tokio::test]
async fn what_one_body_says_of_a_subject_ends_as_its_last_statement_says() {
    let setup = setup_ordered(Order::Observed);
    assert_eq!(post(&setup, ON).await.1, ["recorded 1"]);
    // The revocation was never said, the grant is what was said last.
    assert_eq!(post(&setup, &format!("{ON}\n{OFF}")).await.1, ["duplicate 1", "recorded 2"]);
    assert_eq!(post(&setup, &format!("{ON}\n{OFF}")).await.1, ["duplicate 1", "duplicate 2"], "it comes again");
    assert_eq!(post(&setup, &format!("{OFF}\n{ON}\n{OFF}")).await.1, ["duplicate 2", "recorded 3", "recorded 4"]);
    let new = [ON, OFF, ON].map(|line| of("q", line)).join("\n");
    assert_eq!(post(&setup, &new).await.1, ["recorded 5", "recorded 6", "recorded 7"]);
    assert_eq!(post(&setup, &new).await.1, ["duplicate 5", "duplicate 6", "duplicate 7"]);
    let twice = [ON, ON, OFF, OFF].map(|line| of("r", line)).join("\n");
    assert_eq!(post(&setup, &twice).await.1, ["recorded 8", "duplicate 8", "recorded 9", "duplicate 9"]);
    let kinds: Vec<_> = setup.log().await.into_iter().filter(|line| line.contains("/p/")).collect();
    assert!(kinds.last().unwrap().ends_with("unmapped.v1"), "{kinds:?}");
}

#[tokio::test]
async fn whatever_a_body_says_again_goes_to_the_log_in_one_commit() {
    let setup = setup_ordered(Order::Observed);
    let all = |line: &str| (0..7).map(|n| of(&format!("p{n}"), line)).collect::<Vec<_>>().join("\n");
    for (line, batches) in [(ON, 1), (OFF, 2), (ON, 3), (ON, 3)] {
        post(&setup, &all(line)).await;
        assert_eq!(setup.batches(), batches, "what is all known is not handed to it");
    }
    assert_eq!(setup.head(), 21);
}

#[tokio::test]
async fn a_signed_notification_that_is_sent_again_says_nothing_again() {
    let setup = setup_ordered(Order::Observed);
    assert_eq!(post_signed(&setup, "n1", ON).await.1, ["recorded 1"]);
    let (known, said) = post_signed(&setup, "n2", ON).await;
    assert_eq!(said, ["duplicate 1"]);
    assert_eq!(post_signed(&setup, "n3", OFF).await.1, ["recorded 2"]);
    // One that was recorded, and one of which all was known: only that it came is kept, durably.
    assert_eq!(post_signed(&setup, "n1", ON).await.1, ["duplicate 1"]);
    assert_eq!(post_signed(&setup, "n2", ON).await.1, ["duplicate 1"]);
    assert_eq!(words(&setup.receiver.replay(&known).await.unwrap()), ["duplicate 1"]);
    assert!(setup.durabilities().iter().step_by(2).all(|asked| *asked == Durability::Synced));
    assert_eq!(post_signed(&setup, "n4", ON).await.1, ["recorded 3"], "another notification is news");
    assert_eq!(post_signed(&setup, "n3", OFF).await.1, ["duplicate 2"]);
    assert_eq!(setup.head(), 3);
    // With other bytes it is another one: only the sender can sign it.
    assert_eq!(post_signed(&setup, "n1", &format!("{OFF}\n{}", of("q", ON))).await.1, ["recorded 4", "recorded 5"]);
}

#[tokio::test]
async fn a_notification_that_the_log_refused_is_taken_when_it_comes_again_and_goes_behind_nothing_newer() {
    let setup = setup_ordered(Order::Observed);
    setup.refuse(true);
    let mut refused = call(&format!("{ON}\n{}", of("q", ON)));
    refused.headers.insert("notification", "n1".parse().unwrap());
    let told = setup.receiver.receive("flexnet", refused).await;
    assert!(matches!(told, Err(ReceiveError::Unavailable(_))), "{told:?}");
    setup.refuse(false);
    assert_eq!(post_signed(&setup, "n2", OFF).await.1, ["recorded 1"]);
    let again = post_signed(&setup, "n1", &format!("{ON}\n{}", of("q", ON))).await.1;
    assert_eq!(again, ["superseded 1", "recorded 2"]);
}

#[tokio::test]
async fn mending_a_part_states_nothing_else_of_its_delivery_again() {
    let setup = setup_ordered(Order::Observed);
    post(&setup, ON).await;
    let bad = format!("{ON}\n?{}", of("q", ON));
    assert_eq!(post(&setup, &bad).await.1, ["duplicate 1"]);
    assert_eq!(post(&setup, OFF).await.1, ["recorded 2"]);
    setup.fix_the_mapping();
    let all = setup.receiver.replay_all(None, ProblemType::ExpressionFailed).await.unwrap();
    assert_eq!((all.deliveries, all.recorded, all.quarantined), (1, 1, 0));
    assert_eq!(setup.head(), 3, "what was mended, and only that");
    assert_eq!(post(&setup, OFF).await.1, ["duplicate 2"], "it is what was said last");
}

#[tokio::test]
async fn what_is_mended_goes_behind_nothing_that_arrived_later() {
    for (id, other) in [("-", "-"), ("=n1", "=n2"), ("e1", "e2")] {
        let setup = setup_ordered(Order::Observed);
        let (kept, _) = post(&setup, &format!("?{}", ON.replacen('-', id, 1))).await;
        assert_eq!(post(&setup, &OFF.replacen('-', other, 1)).await.1, ["recorded 1"]);
        setup.fix_the_mapping();
        let answer = setup.receiver.replay(&kept).await.unwrap();
        assert_eq!((words(&answer), answer.quarantined), (vec!["superseded 1".to_owned()], 0), "{id}");
        assert_eq!(setup.head(), 1);
    }
    // Nor behind what stands after it in its own body.
    let setup = setup_ordered(Order::Observed);
    let (kept, said) = post(&setup, &format!("?{ON}\n{OFF}")).await;
    assert_eq!(said, ["recorded 1"]);
    setup.fix_the_mapping();
    assert_eq!(words(&setup.receiver.replay(&kept).await.unwrap()), ["superseded 1", "duplicate 1"]);
}

#[tokio::test]
async fn a_start_after_a_crash_states_nothing_again_that_had_been_recorded_or_known() {
    let setup = setup_ordered(Order::Observed);
    let (first, _) = post(&setup, &format!("{ON}\n{OFF}\n{ON}")).await;
    let (second, said) = post(&setup, ON).await;
    assert_eq!(said, ["duplicate 3"]);
    let (third, _) = post(&setup, OFF).await;
    for id in [&first, &second, &third] {
        setup.lose_the_note(id);
    }
    assert_eq!(setup.receiver.recover().await.unwrap().recorded, 0);
    assert_eq!(setup.head(), 4);
    let replayed = words(&setup.receiver.replay(&first).await.unwrap());
    assert_eq!(replayed, ["duplicate 1", "duplicate 2", "duplicate 3"]);
}

#[tokio::test]
async fn a_delivery_that_was_too_old_when_it_arrived_counts_as_of_when_it_was_signed() {
    let setup = setup_ordered(Order::Observed);
    post_signed(&setup, "n1", ON).await;
    post_signed(&setup, "n2", OFF).await;
    let mut stale = call(&format!("{ON}\n{}", of("q", ON)));
    stale.headers.insert("key", "stale".parse().unwrap());
    stale.headers.insert("notification", "n0".parse().unwrap());
    stale.headers.insert("signed-at", "-4000".parse().unwrap());
    setup.receiver.receive("flexnet", stale).await.unwrap_err();
    let answer = setup.receiver.replay(&setup.rejected()).await.unwrap();
    assert_eq!(words(&answer), ["duplicate 1", "recorded 3"], "of what nobody told it is news");
}

/// Posts what is refused, so many seconds after the sender's clock says that it was signed.
pub(super) async fn refused(setup: &Setup, notification: &str, signed: i64, body: &str) -> DeliveryId {
    let mut refused = call(body);
    for (name, value) in [("key", "stale"), ("notification", notification), ("signed-at", &format!("{signed}"))] {
        refused.headers.insert(name, value.parse().unwrap());
    }
    let before: Vec<DeliveryId> = setup.inbox.rows.lock().unwrap().keys().cloned().collect();
    setup.receiver.receive("flexnet", refused).await.unwrap_err();
    let rows = setup.inbox.rows.lock().unwrap();
    rows.keys().find(|id| !before.contains(id)).unwrap().clone()
}

/// As where the sender's clock is ten minutes late, and whoever keeps something back chooses what arrives when.
#[tokio::test]
async fn what_was_refused_is_in_the_order_of_the_senders_clock_whatever_ours_says_and_however_it_is_gone_over() {
    for id in ["-", "=n", "e"] {
        let line =
            |line: &str, nth: usize| line.replacen('-', &if id == "-" { "-".into() } else { format!("{id}{nth}") }, 1);
        for late in [0, 290, 299, 600] {
            let setup = setup_ordered(Order::Observed);
            let mut all = Vec::new();
            for (nth, body) in [ON, OFF, ON, OFF].iter().enumerate() {
                // Each is a little longer on its way than the one before.
                let signed = i64::try_from(nth).unwrap() - late;
                all.push(refused(&setup, &format!("n{nth}"), signed, &line(body, nth)).await);
            }
            for (id, expected) in all.iter().zip(1..) {
                let said = words(&setup.receiver.replay(id).await.unwrap());
                assert_eq!(said, [format!("recorded {expected}")], "{late}");
            }
            // What is older than the others goes behind none of them, whichever arrives first.
            let older = refused(&setup, "n9", -late - 5, &line(ON, 9)).await;
            let said = words(&setup.receiver.replay(&older).await.unwrap());
            assert!(!said[0].starts_with("recorded") && setup.head() == 4, "{said:?}");
        }
    }
}

/// Gone over twice, as a part of it was mended in between.
#[tokio::test]
async fn what_was_refused_counts_as_of_when_it_was_signed_however_often_it_is_gone_over() {
    let setup = setup_ordered(Order::Observed);
    let kept = refused(&setup, "n0", -4000, &format!("?{ON}")).await;
    assert_eq!(setup.receiver.replay(&kept).await.unwrap().quarantined, 1);
    assert_eq!(post_signed(&setup, "n1", OFF).await.1, ["recorded 1"]);
    setup.fix_the_mapping();
    assert_eq!(words(&setup.receiver.replay(&kept).await.unwrap()), ["superseded 1"]);
}

/// Whoever captured a signed notification sends it again after its mapping was mended.
#[tokio::test]
async fn a_signed_notification_that_is_sent_again_goes_behind_nothing_newer_also_where_its_events_have_ids() {
    let setup = setup_ordered(Order::Observed);
    let body = format!("{}\n?{}", of("q", &ON.replacen('-', "e1", 1)), ON.replacen('-', "e2", 1));
    assert_eq!(post_signed(&setup, "n1", &body).await.1, ["recorded 1"]);
    assert_eq!(post_signed(&setup, "n2", &OFF.replacen('-', "e3", 1)).await.1, ["recorded 2"]);
    setup.fix_the_mapping();
    assert_eq!(post_signed(&setup, "n1", &body).await.1, ["duplicate 1", "superseded 2"]);
}

/// A source whose format was another for a while, or that gives ids to some of its events.
#[tokio::test]
async fn a_statement_without_an_id_is_new_after_one_to_which_the_sender_gave_an_id() {
    let setup = setup_ordered(Order::Observed);
    assert_eq!(post(&setup, OFF).await.1, ["recorded 1"]);
    assert_eq!(post(&setup, OFF).await.1, ["duplicate 1"]);
    let (kept, said) = post(&setup, &format!("?{}", of("q", OFF))).await;
    assert_eq!(said, Vec::<String>::new());
    assert_eq!(post(&setup, &ON.replacen('-', "e1", 1)).await.1, ["recorded 2"]);
    assert_eq!(post(&setup, &of("q", ON).replacen('-', "e2", 1)).await.1, ["recorded 3"]);
    assert_eq!(post(&setup, OFF).await.1, ["recorded 4"], "the revocation is not taken for the one before the grant");
    assert_eq!(post(&setup, OFF).await.1, ["duplicate 4"]);
    // Nor after a start, which knows of it by the log alone.
    assert_eq!(post(&setup, &ON.replacen('-', "e3", 1)).await.1, ["recorded 5"]);
    let setup = setup.started_again();
    assert_eq!(post(&setup, OFF).await.1, ["recorded 6"]);
    assert_eq!(post(&setup, OFF).await.1, ["duplicate 6"]);
    // And what is gone over sees what has an id.
    setup.fix_the_mapping();
    assert_eq!(words(&setup.receiver.replay(&kept).await.unwrap()), ["superseded 3"]);
}

/// What has an id of the sender may be known to the log: then it is not said now, and what is stated beside it is.
#[tokio::test]
async fn a_statement_beside_facts_with_ids_of_one_subject_is_never_taken_for_them() {
    let with = |line: &str, id: &str| line.replacen('-', id, 1);
    for known in ["e1", "=n1"] {
        let setup = setup_ordered(Order::Observed);
        assert_eq!(post(&setup, &with(ON, known)).await.1, ["recorded 1"]);
        assert_eq!(post(&setup, OFF).await.1, ["recorded 2"]);
        let other = if known == "e1" { "e2" } else { "=n2" };
        assert_eq!(post(&setup, &format!("{}\n{OFF}", with(ON, other))).await.1, ["recorded 3", "recorded 4"]);
        assert_eq!(post(&setup, ON).await.1, ["recorded 5"]);
        let setup = setup_ordered(Order::Observed);
        assert_eq!(post(&setup, &with(OFF, known)).await.1, ["recorded 1"]);
        assert_eq!(post(&setup, ON).await.1, ["recorded 2"]);
        assert_eq!(post(&setup, &format!("{}\n{OFF}", with(OFF, known))).await.1, ["duplicate 1", "recorded 3"]);
        let other_bytes = with(OFF, known).replace("\"DB\"", "\"DB\" ");
        assert_eq!(post(&setup, ON).await.1, ["recorded 4"]);
        assert_eq!(post(&setup, &format!("{other_bytes}\n{OFF}")).await.1, ["conflict 1", "recorded 5"]);
    }
}

#[tokio::test]
async fn a_notification_that_was_refused_and_comes_again_goes_behind_nothing_that_was_said_since() {
    let setup = setup_ordered(Order::Observed);
    refused(&setup, "n1", -2, ON).await;
    assert_eq!(post_signed(&setup, "n2", OFF).await.1, ["recorded 1"]);
    assert_eq!(post_signed(&setup, "n1", ON).await.1, ["superseded 1"]);
    // Nor does one that was signed by a clock that is ahead.
    let ahead = refused(&setup, "n3", 600, &of("q", ON)).await;
    assert_eq!(post_signed(&setup, "n4", &of("q", OFF)).await.1, ["recorded 2"]);
    assert_eq!(words(&setup.receiver.replay(&ahead).await.unwrap()), ["superseded 2"]);
}

/// As when the wrong secret was configured: what was refused is gone over in the order in which it came.
#[tokio::test]
async fn what_was_refused_within_moments_and_is_gone_over_in_order_ends_as_the_last_one_says() {
    let setup = setup_ordered(Order::Observed);
    for (notification, body) in [("n0", ON), ("n1", OFF)] {
        let mut refused = call(body);
        for (name, value) in [("key", "stale"), ("notification", notification), ("signed-at", "-2")] {
            refused.headers.insert(name, value.parse().unwrap());
        }
        setup.receiver.receive("flexnet", refused).await.unwrap_err();
    }
    let rejected =
        |(id, (_, verdict, _)): (&DeliveryId, &(_, Verdict, _))| (*verdict == Verdict::Rejected).then(|| id.clone());
    let mut all: Vec<DeliveryId> = setup.inbox.rows.lock().unwrap().iter().filter_map(rejected).collect();
    all.sort();
    for (id, expected) in all.iter().zip(["recorded 1", "recorded 2"]) {
        assert_eq!(words(&setup.receiver.replay(id).await.unwrap()), [expected]);
    }
}

#[tokio::test]
async fn two_facts_on_one_subject_in_one_notification_are_two_and_its_repeat_is_none() {
    for order in [Order::Observed, Order::Version] {
        let setup = setup_ordered(order);
        let [on, off] = [ON, OFF].map(|line| line.replacen('-', "=n1", 1));
        let two = format!("{on}\n{off}\n{on}\n{on}");
        assert_eq!(post(&setup, &two).await.1, ["recorded 1", "recorded 2", "recorded 3", "duplicate 3"]);
        assert_eq!(post(&setup, &two).await.1, ["duplicate 1", "duplicate 2", "duplicate 3", "duplicate 3"]);
        let other = on.replace("\"DB\"", "\"DB\" ");
        assert_eq!(post(&setup, &other).await.1, ["conflict 1"], "other bytes under one id and place");
    }
}

#[tokio::test]
async fn a_statement_without_an_id_is_held_against_one_with_an_id() {
    let setup = setup_ordered(Order::Observed);
    assert_eq!(post(&setup, OFF).await.1, ["recorded 1"]);
    assert_eq!(post(&setup, &ON.replacen('-', "=n1", 1)).await.1, ["recorded 2"]);
    assert_eq!(post(&setup, OFF).await.1, ["recorded 3"], "something else was said since");
}

/// A sender without ids and without an order: what it says is told apart from what comes again by what it said last.
#[tokio::test]
async fn what_is_said_again_after_something_else_is_new_and_what_only_comes_again_is_not() {
    let setup = setup_ordered(Order::Observed);
    let mapped = "- rollcall.package.product.mapped.v1 1 {\"package\":\"p\",\"product\":\"DB\"}";
    let unmapped = "- rollcall.package.product.unmapped.v1 1 {\"package\":\"p\",\"product\":\"DB\"}";
    let other = "- rollcall.product.upserted.v1 1 {\"product\":\"DB\"}";
    let post = async |body: &str| {
        let answer = setup.receiver.receive("flexnet", call(body)).await.unwrap();
        (
            answer.delivery.clone(),
            outcomes(&answer).into_iter().map(|(word, at)| format!("{word} {at}")).collect::<Vec<_>>(),
        )
    };
    let (first, said) = post(mapped).await;
    assert_eq!(said, ["recorded 1"]);
    assert_eq!(post(mapped).await.1, ["duplicate 1"], "it comes again");
    assert_eq!(post(unmapped).await.1, ["recorded 2"]);
    assert_eq!(post(other).await.1, ["recorded 3"], "another subject says nothing of this one");
    let (third, said) = post(mapped).await;
    assert_eq!(said, ["recorded 4"], "the third fact is new");
    assert_eq!(post(mapped).await.1, ["duplicate 4"]);
    let three = post(&format!("{unmapped}\n{mapped}\n{unmapped}")).await.1;
    assert_eq!(three, ["recorded 5", "recorded 6", "recorded 7"]);
    // What a kept delivery said stands where it was recorded, whatever was said since.
    for (delivery, at) in [(first, 1), (third, 4)] {
        let answer = setup.receiver.replay(&delivery).await.unwrap();
        assert_eq!(outcomes(&answer), [("duplicate", at)]);
    }
}

#[tokio::test]
async fn an_event_without_an_id_of_a_source_with_versions_is_known_by_its_version() {
    let setup = setup();
    let line = |kind: &str, version| {
        format!("- rollcall.package.product.{kind}.v1 {version} {{\"package\":\"p\",\"product\":\"DB\"}}")
    };
    for (kind, version, outcome) in [
        ("mapped", 1, ("recorded", 1)),
        ("unmapped", 2, ("recorded", 2)),
        ("mapped", 1, ("duplicate", 1)),
        ("mapped", 3, ("recorded", 3)),
        ("mapped", 3, ("duplicate", 3)),
    ] {
        let answer = setup.receiver.receive("flexnet", call(&line(kind, version))).await.unwrap();
        assert_eq!(outcomes(&answer), [outcome], "{kind} {version}");
    }
}
