//! What outsiders can cause is bounded in bytes: whoever shouts pushes out nobody else's records, and what went is counted.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    thread,
};

use crate::support::{
    server::{Server, WORLD},
    wait_for,
};

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 8;

/// Asks for tokens on one connection, without credentials, for names that are different each time.
fn shout(port: u16, first: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for n in (first..REQUESTS).step_by(CONNECTIONS) {
        let scopes: Vec<String> =
            (0..40).map(|i| format!("scope=repository:invented{n}-{i}/{}:pull", "x".repeat(100))).collect();
        let request = format!("GET /token?service=rollcall&{} HTTP/1.1\r\nhost: x\r\n\r\n", scopes.join("&"));
        stream.write_all(request.as_bytes()).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        loop {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
}

#[test]
fn ten_thousand_requests_for_invented_projects_leave_one_row_and_push_nobodys_denial_out() {
    let mut server = Server::start();
    server.say(WORLD);
    let ada = server.secret_for("ada");
    server.token("ada", &ada, "&scope=repository:acme/db:push").expect(200);
    wait_for("ada's denial", || (server.pages("/api/v1/decisions?user=ada").len() == 1).then_some(()));
    server.restart();
    let before = std::fs::metadata(server.data("ops.db")).unwrap().len();
    let port = server.port;
    let shouting: Vec<_> = (0..CONNECTIONS).map(|first| thread::spawn(move || shout(port, first))).collect();
    shouting.into_iter().for_each(|one| one.join().unwrap());
    let rows = wait_for("everything to be counted", || {
        let rows = server.pages("/api/v1/decisions?limit=500");
        let anonymous = || rows.iter().filter(|row| row["user"].is_null());
        let counted: u64 = anonymous().map(|row| row["count"].as_u64().unwrap()).sum();
        (counted == REQUESTS as u64).then(|| anonymous().cloned().collect::<Vec<_>>())
    });
    // An hour may begin meanwhile.
    assert!((1..=2).contains(&rows.len()), "{rows:?}");
    assert_eq!(rows[0]["client"], "127.0.0.0/24");
    assert_eq!(server.pages("/api/v1/decisions?user=ada").len(), 1);
    server.restart();
    let grown = std::fs::metadata(server.data("ops.db")).unwrap().len() - before;
    assert!(grown <= 64 << 10, "{REQUESTS} requests took {grown} bytes");
}

#[test]
fn somebody_without_a_tie_pushes_only_its_own_out_and_what_went_is_counted() {
    let server = Server::start();
    server.say(WORLD);
    let (ada, pia) = (server.secret_for("ada"), server.secret_for("pia"));
    server.token("pia", &pia, "&scope=repository:acme/db:delete").expect(200);
    server.token("ada", &ada, "&scope=repository:acme/db:push").expect(200);
    for n in 0..150 {
        server.token("ada", &ada, &format!("&scope=repository:invented{n}/x:pull")).expect(200);
    }
    wait_for("the last one", || {
        // Two of one millisecond stand in any order.
        let rows = server.pages("/api/v1/decisions?user=ada&limit=500");
        rows.iter().any(|row| row["asked"].as_str().unwrap().contains("invented149/")).then_some(())
    });
    let kept = |user: &str| server.pages(&format!("/api/v1/decisions?user={user}&limit=500"));
    assert_eq!(kept("ada").len(), 100 + 1, "the budget of those without a tie, and the one with");
    assert!(kept("ada").iter().any(|row| row["asked"].as_str().unwrap().contains("acme/db")));
    assert_eq!(kept("pia").len(), 1);
    wait_for("what was let go to be counted", || {
        let metrics = server.get("/metrics").expect(200).text;
        metrics.contains("rollcall_records_let_go_total{kind=\"decision\"} 50").then_some(())
    });
}

#[test]
fn of_a_customer_who_asks_for_much_and_often_every_request_is_counted_and_few_are_rows() {
    const REQUESTS: u64 = 700;
    let server = Server::start();
    server.say(WORLD);
    let ada = server.secret_for("ada");
    let scopes: String = (0..90).map(|n| format!("&scope=repository:acme/{}{n}:push", "x".repeat(30))).collect();
    for _ in 0..REQUESTS {
        server.token("ada", &ada, &scopes).expect(200);
    }
    let rows = wait_for("everything to be counted", || {
        let rows = server.pages("/api/v1/decisions?user=ada&limit=500");
        let counted: u64 = rows.iter().map(|row| row["count"].as_u64().unwrap()).sum();
        (counted == REQUESTS).then_some(rows)
    });
    // An hour may begin meanwhile.
    assert!(rows.len() <= 2 * 257, "{} rows", rows.len());
    assert!(rows.iter().all(|row| row["asked"].as_str().unwrap().len() <= 2048));
}

#[test]
fn rejected_deliveries_of_one_client_are_bounded() {
    let server = Server::start();
    for n in 0..130 {
        let hook = server.http.post(&server.url("/hooks/flexnet")).header("content-type", "application/json");
        server.http.send(hook.body(format!("{{\"n\":{n}}}"))).expect(401);
    }
    wait_for("the newest of them to be what is kept", || {
        (server.pages("/api/v1/deliveries?verdict=rejected&limit=500").len() == 100).then_some(())
    });
}
