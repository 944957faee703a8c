//! Deliveries of senders that give their events no ids: what comes again is told from what is said anew.

use rollcall_events::Order;

use super::deliveries::{call, outcomes, setup, setup_ordered};

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
    assert_eq!(post(&format!("{unmapped}\n{mapped}\n{unmapped}")).await.1.first().unwrap(), "recorded 5");
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
