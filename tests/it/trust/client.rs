//! The address is not the client: who asks is whom a trusted proxy names, and nobody else is believed.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    api::Answer,
    server::{Server, WORLD},
    wait_for,
};

/// A server behind a proxy of this address.
fn behind(proxy: &str, how: &str) -> Server {
    let mut server = Server::prepared("");
    let path = server.dir.join("rollcall.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("[server]\n", &format!("[server]\ntrusted_proxies = \"{proxy}\"\n{how}\n"), 1))
        .unwrap();
    server.go();
    server.say(WORLD);
    server
}

/// A pull that is refused and so kept, with these headers.
fn refused_pull(server: &Server, secret: &str, headers: &[(&str, &str)]) -> Answer {
    let url = server.url("/token?service=rollcall&scope=repository:acme/db:push");
    let mut request = server.http.get(&url).basic_auth("ada", Some(secret)).header("user-agent", "skopeo/1.9.3");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.http.send(request).expect(200)
}

/// From where the newest refused pull of ada was asked.
fn newest_client(server: &Server, count: usize) -> String {
    let kept: Vec<Value> = wait_for("the decision", || {
        let kept = server.pages("/api/v1/decisions?user=ada");
        (kept.len() == count).then_some(kept)
    });
    kept[0]["client"].as_str().unwrap().to_owned()
}

#[test]
fn decisions_and_deliveries_are_from_whom_a_trusted_proxy_names() {
    let server = behind("127.0.0.1", "client_header = \"X-Forwarded-For\"");
    let ada = server.secret_for("ada");
    for (count, (headers, expected)) in [
        (&[("x-forwarded-for", "203.0.113.9")][..], "203.0.113.9"),
        (&[("x-forwarded-for", "198.51.100.1, 203.0.113.9, 127.0.0.1")], "203.0.113.9"),
        (&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
        (&[("x-forwarded-for", "203.0.113.9, no address")], "127.0.0.1"),
        (&[("x-real-ip", "203.0.113.9"), ("forwarded", "for=203.0.113.9")], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        refused_pull(&server, &ada, headers);
        assert_eq!(newest_client(&server, count + 1), expected, "{headers:?}");
    }
    let hook = server.http.post(&server.url("/hooks/flexnet")).header("x-forwarded-for", "203.0.113.9");
    server.http.send(hook.header("content-type", "application/json").body("{}")).expect(401);
    let rejected = wait_for("the delivery", || server.pages("/api/v1/deliveries?verdict=rejected").first().cloned());
    assert_eq!(rejected["client"], "203.0.113.9", "{rejected}");
    // Whoever is no proxy says so in vain.
    let ada = BASE64_STANDARD.encode(format!("ada:{ada}"));
    let get = format!(
        "GET /token?service=rollcall&scope=repository:acme/db:push HTTP/1.1\r\nhost: rollcall\r\n\
         connection: close\r\nauthorization: Basic {ada}\r\nx-forwarded-for: 203.0.113.9\r\n\r\n"
    );
    assert!(raw(&server, "127.0.0.3", &get).starts_with("HTTP/1.1 200"));
    assert_eq!(newest_client(&server, 7), "127.0.0.3");
}

#[test]
fn a18_by_default_no_header_says_who_the_client_is() {
    let server = Server::start();
    server.say(WORLD);
    let ada = server.secret_for("ada");
    refused_pull(&server, &ada, &[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")]);
    assert_eq!(newest_client(&server, 1), "127.0.0.1");
}

/// What is answered to these bytes on a connection from this address.
fn raw(server: &Server, from: &str, bytes: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], server.port).into()).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What is closed unread is cut off.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
}

#[test]
fn a_trusted_proxy_names_the_client_of_a_whole_connection_and_nobody_else_does() {
    let server = behind("127.0.0.2", "proxy_protocol = true");
    let ada = BASE64_STANDARD.encode(format!("ada:{}", server.secret_for("ada")));
    let get = format!(
        "GET /token?service=rollcall&scope=repository:acme/db:push HTTP/1.1\r\nhost: rollcall\r\n\
         connection: close\r\nauthorization: Basic {ada}\r\nx-forwarded-for: 192.0.2.66\r\n\r\n"
    );
    let proxy = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n";
    assert!(raw(&server, "127.0.0.2", &format!("{proxy}{get}")).starts_with("HTTP/1.1 200"));
    assert_eq!(newest_client(&server, 1), "203.0.113.9");
    assert!(raw(&server, "127.0.0.3", &get).starts_with("HTTP/1.1 200"));
    assert_eq!(newest_client(&server, 2), "127.0.0.3");
    for (from, bytes) in [("127.0.0.2", get.clone()), ("127.0.0.3", format!("{proxy}{get}"))] {
        let answer = raw(&server, from, &bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{from} {answer}");
    }
    assert_eq!(server.pages("/api/v1/decisions?user=ada").len(), 2);
}
