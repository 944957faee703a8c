//! Servers that do not speak LDAP as they should: garbled, endless, enormous, slow. A connection to one ends with an
//! error, in bounded time and memory; the process and its other sources go on.

use std::{
    io::Write,
    net::TcpStream,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use chrono::DateTime;
use rollcall_ingest::connector::{Failure, Pull, Snapshot, SnapshotBuilder};
use rollcall_ldap::{Config, Directory, Limits, Mode};

use crate::{
    directories::read::config,
    support::{
        corp::Corp,
        random::Random,
        server::Server,
        slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
        wire::{Act, DONE, Fake, Wire, ber, entry, greeting, message, result},
    },
};

/// Short times and small sizes, so that every end comes soon.
fn strict(url: &str) -> Config {
    let limits = Limits {
        connect: Duration::from_secs(2),
        answer: Duration::from_millis(400),
        message: 64 << 10,
        search: 1 << 20,
    };
    Config { limits, mode: Mode::Full, ..config(url) }
}

/// The same for what answers, however slow the machine is.
fn patient(mut config: Config) -> Config {
    config.limits.answer = Duration::from_secs(30);
    config
}

/// What a read comes to; it must come to something.
async fn read(config: Config) -> Result<Snapshot, Failure> {
    let builder = SnapshotBuilder::detached(DateTime::UNIX_EPOCH);
    let reading = tokio::spawn(async move { Directory::new(config).unwrap().read(builder).await });
    let ended = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("a read that does not end");
    ended.expect("the connector panicked")
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A server that is one until the search for people, and then says this, again and again if that is meant.
fn after_greeting(says: Vec<u8>, again: bool) -> Fake {
    Fake::new(move |client: &mut TcpStream, _| {
        let _ = client.write_all(&greeting());
        while client.write_all(&says).is_ok() && again {}
        // The client ends it, or its time does.
        let _ = client.peek(&mut [0]);
        wait_until_gone(client);
    })
}

/// Until the other end has closed the connection.
fn wait_until_gone(client: &TcpStream) {
    let (sender, gone) = mpsc::channel::<()>();
    let mut from = client.try_clone().unwrap();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut std::io::sink());
        drop(sender);
    });
    let _ = gone.recv_timeout(Duration::from_secs(10));
}

#[test]
fn whatever_a_server_says_in_place_of_people_ends_the_read_and_says_why() {
    let nested = (0..20_000_u32).rev().fold(Vec::new(), |mut bytes, level| {
        bytes.extend([0x30, 0x83]);
        bytes.extend(&(level * 5).to_be_bytes()[1..]);
        bytes
    });
    let someone = |n: u32| {
        let id = format!("00000000-0000-0000-0000-{n:012}");
        entry(3, &format!("uid=u{n},ou=people,{BASE}"), &[("uid", &["u"]), ("entryUUID", &[&id])])
    };
    let referral = message(3, ber(0x73, ber(4, "ldap://x")));
    let between = message(3, ber(0x79, ber(0x80, "1.2.3")));
    let many: Vec<u8> = (0..500).flat_map(someone).collect();
    let unreadable = message(3, ber(0x64, [ber(4, [0xff, 0xfe]), ber(0x30, [])].concat()));
    let notice = message(
        0,
        ber(0x78, [&[10, 1, 52, 4, 0][..], &ber(4, "shutting down"), &ber(0x8a, "1.3.6.1.4.1.1466.20036")].concat()),
    );
    let most = "goes on beyond all bounds";
    for (what, says, again, why) in [
        ("nothing", vec![], false, "no answer for"),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false, "this is not LDAP"),
        ("a message of 4 GiB", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], false, "at most 65536 are taken"),
        ("a message of all memory", vec![0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false, "at most"),
        ("a message of just too much", [vec![0x30, 0x83, 1, 0, 1], vec![0; 70_000]].concat(), false, "at most 65536"),
        ("nesting", nested, false, "at most 65536"),
        ("a name that is no text", unreadable, false, "no UTF-8"),
        ("an operation of ours", message(3, ber(0x63, [])), false, "something else"),
        ("a bind's answer", result(3, 0x61, 0), false, "something else"),
        ("answers to nobody", result(77, DONE, 0), true, "no answer for"),
        ("references for ever", referral, true, most),
        ("something between for ever", between, true, most),
        ("the same people for ever", many.clone(), true, most),
        ("the end of the connection", notice, false, "52 (unavailable): shutting down"),
        ("half of an entry", someone(1)[..20].to_vec(), false, "no answer for"),
        ("people and no end", many, false, "no answer for"),
    ] {
        let fake = after_greeting(says, again);
        let strict = strict(&fake.url());
        match block(read(if why == most { patient(strict) } else { strict })) {
            Err(failure) => assert!(failure.to_string().contains(why), "{what}: {failure}"),
            Ok(snapshot) => panic!("{what}: {snapshot:?}"),
        }
    }
}

#[test]
fn a_server_that_says_a_byte_at_a_time_is_not_waited_for() {
    let fake = Fake::new(|client: &mut TcpStream, _| {
        let _ = client.write_all(&greeting());
        let (_never, tick) = mpsc::channel::<()>();
        for byte in entry(3, &dn("ada"), &[("uid", &["ada"])]) {
            let _ = tick.recv_timeout(Duration::from_millis(100));
            if client.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let failure = block(read(strict(&fake.url()))).unwrap_err();
    assert!(failure.to_string().contains("no answer for"), "{failure}");
}

#[test]
fn a_root_entry_that_does_not_end_keeps_nobody_waiting() {
    let fake = Fake::new(|client: &mut TcpStream, number| {
        let _ = client.write_all(&result(1, 0x61, 0));
        let says = match number % 2 {
            0 => message(2, ber(0x73, ber(4, "ldap://x"))),
            _ => entry(2, "", &[("objectClass", &["top"])]),
        };
        while client.write_all(&says).is_ok() {}
    });
    for why in ["beyond all bounds", "several entries"] {
        let config = Config { urls: vec![fake.url().parse().unwrap()], ..strict(&fake.url()) };
        let failure = block(read(config)).unwrap_err();
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

/// What a real server said to a whole read, on its one connection.
fn recorded() -> Option<Vec<u8>> {
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &person("kim", "people", "k")
        + &group("ops", [dn("ada"), dn("gone"), format!("cn=dev,ou=groups,{BASE}")])
        + &group("dev", [dn("kim")]);
    let slapd = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif)?;
    let wire = Wire::to(slapd.port);
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    wire.look(move |_, _, message| {
        heard.lock().unwrap().extend_from_slice(&message.0);
        Act::Pass
    });
    block(read(patient(Config { page: 2, ..strict(&wire.url()) }))).unwrap();
    let said = said.lock().unwrap().clone();
    Some(said)
}

/// One way to spoil what was recorded. Whether a read of it must fail.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) -> bool {
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => {
            bytes.truncate(at);
            true
        }
        1 => {
            bytes[at] ^= 1 << random.below(8);
            false
        }
        2 => {
            (0..=random.below(8)).for_each(|i| bytes[at.saturating_sub(i)] = u8::try_from(random.below(256)).unwrap());
            false
        }
        3 => {
            let end = (at + random.below(40)).min(bytes.len());
            drop(bytes.drain(at..end));
            end > at
        }
        4 => {
            let more: Vec<u8> = (0..=random.below(40)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
            drop(bytes.splice(at..at, more));
            false
        }
        5 => {
            // A piece twice.
            let piece = bytes[at..(at + random.below(200)).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, piece));
            false
        }
        _ => {
            // A length that says a great deal.
            let end = (at + 5).min(bytes.len());
            bytes[at..end].copy_from_slice(&[0x84, 0x7f, 0xff, 0xff, 0xff][..end - at]);
            false
        }
    }
}

#[test]
fn a_real_answer_that_is_spoilt_anywhere_ends_the_read_and_not_the_process() {
    let Some(good) = recorded() else { return };
    let spoilt = Arc::new(Mutex::new(good.clone()));
    let says = Arc::clone(&spoilt);
    let fake = Fake::new(move |client: &mut TcpStream, _| drop(client.write_all(&says.lock().unwrap().clone())));
    let page = Config { page: 2, ..strict(&fake.url()) };
    let whole = block(read(patient(page.clone()))).unwrap().digest();
    let seeds: u64 = std::env::var("ROLLCALL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut failed, mut same) = (0, 0);
    block(async {
        for seed in 0..400 * seeds {
            let mut bytes = good.clone();
            let fails = spoil(&mut bytes, &mut Random(seed));
            *spoilt.lock().unwrap() = bytes;
            match read(page.clone()).await {
                Err(_) => failed += 1,
                Ok(snapshot) => {
                    assert!(!fails, "seed {seed}: a read of what is cut was whole");
                    same += usize::from(snapshot.digest() == whole);
                }
            }
        }
    });
    assert!(failed > 100 && same > 0, "{failed} failed, {same} were read as if nothing was");
}

#[test]
fn a_follow_of_what_is_spoilt_ends_and_begins_again_until_the_server_is_well() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let wire = Wire::to(slapd.port);
    let mut corp = Corp::new(Config { mode: Mode::Auto, ..strict(&wire.url()) });
    corp.start();
    corp.read();
    let random = Mutex::new(Random(11));
    wire.look(move |_, count, message| {
        let mut random = random.lock().unwrap();
        if count >= 2 && random.below(4) == 0 {
            // Only lengths and tags, and only in front: a changed value would be a fact.
            let at = random.below(message.0.len().min(12));
            message.0[at] ^= 0x80 | u8::try_from(random.below(128)).unwrap();
        }
        Act::Pass
    });
    let failed = || corp.status().map(|status| status.failures).unwrap_or_default();
    for round in 0..20 {
        slapd.change(&format!("dn: {}\nchangetype: modify\nreplace: sn\nsn: {round}\n", dn("ada")));
    }
    wait_for("failures", || (failed() > 0).then_some(()));
    wire.pass();
    wire.cut();
    slapd.change(&person("kim", "people", "k"));
    wait_for("the next person", || (corp.stands().len() == 5).then_some(()));
    assert_eq!(corp.removals(rollcall_events::Position(0)), 0);
}

/// The most memory that a process had, in MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A message of nearly 64 MiB: one entry whose one attribute has these values.
fn enormous(value: &[u8]) -> Vec<u8> {
    const MOST: usize = (64 << 20) - 200;
    let values = ber(4, value);
    let all = values.repeat(MOST / values.len());
    let attribute = ber(0x30, [ber(4, "member"), ber(0x31, all)].concat());
    message(3, ber(0x64, [ber(4, dn("big")), ber(0x30, attribute)].concat()))
}

#[test]
fn enormous_answers_of_one_directory_cost_bounded_memory_and_the_other_source_goes_on() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    // One value of 64 MiB; names; nothing at all, thirty million times; and half of a message that stays that.
    let evil = [
        enormous(&vec![b'x'; (64 << 20) - 300]),
        enormous(b"uid=somebody,ou=people,dc=ex,dc=test"),
        enormous(b""),
        enormous(b"")[..40 << 20].to_vec(),
    ];
    let kinds = evil.len();
    let served = Arc::new(Mutex::new(0));
    let count = Arc::clone(&served);
    let fake = Fake::new(move |client: &mut TcpStream, number| {
        let _ = client.write_all(&greeting());
        let _ = client.write_all(&evil[number % kinds]);
        *count.lock().unwrap() += 1;
        wait_until_gone(client);
    });
    let source = |name: &str, url: &str| {
        format!(
            "[source.{name}]\nkind = \"ldap\"\nurl = \"{url}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
             secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = \"ou=groups,{BASE}\"\n\
             answer_timeout = \"5s\"\njitter = \"0s\"\n"
        )
    };
    let both = source("corp-ldap", &slapd.url()) + &source("evil", &fake.url());
    let mut server = Server::prepared(&both);
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    let pid = server.pid();
    wait_for("every kind of answer", || (*served.lock().unwrap() >= kinds).then_some(()));
    slapd.change(&person("kim", "people", "k"));
    wait_for("the other source", || {
        let people = server.pages("/api/v1/people?source=corp-ldap&limit=500");
        people.iter().any(|person| person["username"] == "kim").then_some(())
    });
    let sources = server.get("/api/v1/sources").json();
    let evil = sources["items"].as_array().unwrap().iter().find(|source| source["name"] == "evil").unwrap().clone();
    assert_ne!(evil["reading"]["state"], "healthy", "{evil}");
    assert_eq!(server.pid(), pid);
    assert!(server.is_ready() && server.process().ended().is_none());
    // The buffer of a message, what is read of it, and what is made of that: three times 64 MiB and a bit.
    let peak = peak(pid);
    eprintln!("{peak} MiB at most");
    assert!(peak < 400, "{peak} MiB");
}
