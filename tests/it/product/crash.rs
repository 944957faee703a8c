//! Promise 1: acknowledged means durable. The server is killed at random moments under load; the only thing believed is
//! what a client outside was told. `ROLLCALL_KILLS` says how long to go on.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    DEADLINE,
    random::Random,
    server::Server,
    storage::Shim,
    told::{KINDS, Load, Lost, Request, Told, begin, no_time},
    wait_for,
};

/// That the log holds together, and that what is served is what a fold of the whole log gives, without a snapshot.
pub fn verified(server: &Server) {
    let said = server.cli(&["verify"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = server.cli(&["projection", "check"]);
    assert_eq!(said.code, 0, "{said:?}");
}

/// How many times, unless the environment says otherwise.
pub fn count(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |n| n.parse().unwrap())
}

fn spin_until(instant: Instant) {
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed() {
    let (kills, mut random) = (count("ROLLCALL_KILLS", 200), Random(7));
    let mut server = Server::start();
    let told = Arc::new(Mutex::new(Told::default()));
    begin(&mut server, &told, &no_time());
    for kill in 1..=kills {
        let load = Load::start(&server, 4, usize::MAX, &told, &no_time());
        // Kill while somebody waits for an answer: some acknowledgements in, and then at a random instant.
        load.more(&mut server, 1 + random.below(10));
        if kill % 4 == 0 {
            // Or while it ends by itself: what waits is written, and the snapshot.
            server.ask_to_end();
            spin_until(Instant::now() + Duration::from_micros(random.next() % 60_000));
        }
        spin_until(Instant::now() + Duration::from_micros(random.next() % 3000));
        server.kill();
        load.stop();
        server.go();
        if kill % 10 == 0 || kill == kills {
            told.lock().unwrap().check(&server, Lost::Nothing);
        }
        if kill % 50 == 0 || kill == kills {
            verified(&server);
        }
    }
    let (answered, log) = (told.lock().unwrap().answered(), server.log());
    assert!(answered > kills as usize, "only {answered} acknowledged");
    let (starts, written) = (log.matches("projector opened").count(), log.matches("roster snapshot written").count());
    assert!(starts > kills as usize && written > 2, "{starts} starts and {written} snapshots");
}

/// What is written ahead is moved into the database beside whoever has something to say, however long the disk takes.
#[test]
fn what_is_said_is_acknowledged_while_what_was_said_before_is_moved() {
    let mut server = Server::prepared("");
    let shim = Shim::compile(&server.dir);
    let (hold, mark) = (server.dir.join("hold"), server.dir.join("mark"));
    let command = shim.holding_syncs(server.command(), "log.db", &hold, &mark);
    server.go_as(command);
    let mut told: Vec<(u64, String)> = Vec::new();
    let mut say = |server: &Server, many: usize| {
        let long = "x".repeat(90);
        let products: Vec<String> = (0..many).map(|n| format!("P-{}-{n}-{long}", told.len())).collect();
        let event = |product: &String| {
            json!({
                "specversion": "1.0", "id": product, "source": "/f", "type": "rollcall.product.upserted.v1",
                "sequence": "1", "data": {"product": product},
            })
        };
        let events: Vec<Value> = products.iter().map(event).collect();
        let answer = server.post_json("application/cloudevents-batch+json", &json!(events)).expect(202).json();
        let positions = answer["events"].as_array().unwrap().iter().map(|event| {
            assert_eq!(event["outcome"], "recorded", "{answer}");
            event["position"].as_u64().unwrap()
        });
        told.extend(positions.zip(products));
    };
    std::fs::write(&hold, "").unwrap();
    // After sixteen megabytes it is moved; some are said behind the last of them.
    for _ in (0..200).take_while(|_| !mark.is_symlink()) {
        say(&server, 400);
    }
    wait_for("a sync of log.db", || mark.is_symlink().then_some(()));
    for _ in 0..20 {
        say(&server, 4);
    }
    assert!(hold.exists() && server.is_ready());
    std::fs::remove_file(&hold).unwrap();
    server.stop();
    server.go();
    let some = told.iter().rev().take(80).chain(told.iter().step_by(400));
    for (position, product) in some {
        let event = server.get(&format!("/api/v1/events/{position}")).expect(200).json();
        assert_eq!(event["data"]["product"], product.as_str(), "{event}");
    }
    verified(&server);
}

#[test]
fn a_server_that_stops_ends_what_it_began() {
    let mut server = Server::start();
    let told = Arc::new(Mutex::new(Told::default()));
    begin(&mut server, &told, &no_time());
    let load = Load::start(&server, 4, usize::MAX, &told, &no_time());
    load.more(&mut server, 13);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < DEADLINE / 2);
    load.stop();
    server.go();
    told.lock().unwrap().check(&server, Lost::Nothing);
    verified(&server);
}

/// Promise 12: a command that is repeated with its key after a crash is the same command.
#[test]
fn a_command_with_its_key_is_given_once_when_the_server_is_killed_before_its_answer() {
    let mut random = Random(11);
    let mut server = Server::start();
    let told = Arc::new(Mutex::new(Told::default()));
    begin(&mut server, &told, &no_time());
    let cut_off = || told.lock().unwrap().unheard.clone();
    for _ in 0..16 {
        let requests = (0..16).map(|n| Request::command(KINDS[n % KINDS.len()])).collect();
        let (load, answered) = Load::at_once(&server, requests, &told);
        let some = 1 + random.below(4);
        while answered.load(Ordering::Relaxed) < some {
            std::hint::spin_loop();
        }
        server.kill();
        load.finish();
        server.go();
        told.lock().unwrap().check(&server, Lost::Nothing);
        if KINDS.iter().all(|kind| cut_off().get(kind).is_some_and(|n| *n > 1)) {
            break;
        }
    }
    let cut_off = cut_off();
    assert!(KINDS.iter().all(|kind| cut_off.get(kind).is_some_and(|n| *n > 0)), "only {cut_off:?} were cut off");
    verified(&server);
}
