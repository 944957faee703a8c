//! What is kept of a follower: good only with all that it was true of, and not before removals that wait were seen.

use std::sync::Arc;

use rollcall_eventlog::Log;
use rollcall_events::LogId;

use super::{
    Engine, Works,
    tests::{Brittle, World, corp},
};
use crate::{
    memory::{group, member, person},
    pull::{Anew, Cursor, Keeping, News, Notes, Pull, Told},
    stores::Records,
};

pub(super) async fn keep(news: &News, n: u8) -> Keeping {
    news.keep(Cursor(vec![n]), || Notes::All(Vec::new())).await.unwrap()
}

pub(super) async fn recalled(news: &News) -> Result<u8, Anew> {
    news.recall().await.unwrap().map(|kept| kept.cursor.0[0])
}

#[tokio::test]
async fn what_is_kept_of_a_follower_is_good_only_with_all_that_it_was_true_of() {
    let mut world = World::with([person("ada", true)]);
    let news = world.engine.news();
    assert_eq!(recalled(&news).await, Err(Anew::First));
    world.read().await.unwrap();
    assert_eq!(recalled(&news).await, Err(Anew::Lost), "read, and never followed");
    keep(&news, 1).await;
    assert_eq!(recalled(&news).await, Ok(1));
    world.restart();
    let news = world.engine.news();
    assert_eq!(recalled(&news).await, Ok(1), "another process");
    let other = Log::in_memory(LogId([4; 8]), world.clock.clone());
    let log = Brittle { log: other, ..world.log.clone() };
    let works = Works { append: Arc::new(log.clone()), tail: Arc::new(log.log.clone()), ..world.works.clone() };
    let elsewhere = Arc::new(Engine::new(corp(), Arc::new(world.source.clone()), works, world.options.clone()));
    assert_eq!(recalled(&elsewhere.news()).await, Err(Anew::Log));
    world.shelf.lose();
    assert_eq!(recalled(&news).await, Err(Anew::Lost));
    let changed = news.keep(Cursor(vec![2]), || Notes::Changed(Vec::new())).await;
    assert!(changed.is_err(), "notes that belong to what is lost");
    assert_eq!(recalled(&news).await, Err(Anew::Lost));
}

#[tokio::test]
async fn nothing_is_kept_of_a_removal_that_waits_for_a_full_read_before_that_has_seen_it() {
    let members = ["a", "b", "c", "d", "e"];
    let world = World::with([group("ops")].into_iter().chain(members.map(|p| member("ops", p))));
    world.read().await.unwrap();
    let news = world.engine.news();
    assert_eq!(keep(&news, 1).await, Keeping::Done);
    let running = news.sheet(Anew::Refused("it forgot".into())).await.unwrap();
    let running = world.source.read(running).await.unwrap();
    members.iter().for_each(|p| world.source.take(&format!("member/ops/person/{p}")));
    news.tell(vec![Told::Members { group: "ops".parse().unwrap(), members: Vec::new() }]).await.unwrap();
    assert_eq!(keep(&news, 2).await, Keeping::Held, "no plan yet");
    news.sealed(running).await.unwrap();
    assert_eq!(keep(&news, 2).await, Keeping::Held, "that read began before");
    assert_eq!(recalled(&news).await, Ok(1));
    let whole = world.shelf.standing(&corp()).await.unwrap().unwrap().whole.unwrap();
    assert_eq!(whole.why, "it forgot");
    world.read().await.unwrap();
    assert_eq!(keep(&news, 2).await, Keeping::Held, "now a plan waits");
    let plan = world.held().await;
    world.apply(&plan).await.unwrap();
    assert_eq!((keep(&news, 2).await, recalled(&news).await), (Keeping::Done, Ok(2)));
}
