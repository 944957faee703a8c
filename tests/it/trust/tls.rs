//! TLS of our own: the command line by https, certificates that change under a running server, client certificates where a
//! source demands one and nowhere else.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::json;

use crate::support::{
    Dir,
    api::{Answer, Http},
    run,
    server::{BINARY, Server},
    wait_for,
};

/// A certificate authority of a test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut dn = DistinguishedName::new();
        dn.push(DnType::CommonName, name);
        params.distinguished_name = dn;
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, and its key.
    fn certify(&self, names: &[&str]) -> (String, String) {
        self.certify_until(names, 4096)
    }

    fn certify_until(&self, names: &[&str], year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

const OWN: &[&str] = &["localhost", "127.0.0.1"];

/// Lays a pair where the configuration looks for it.
fn lay(server: &Server, (certificate, key): &(String, String)) {
    server.dir.write("tls.crt", certificate);
    server.dir.write("tls.key", key);
}

/// Not started yet.
fn prepared(authority: &Authority, tls: &str, more: &str) -> Server {
    let server = Server::prepared(more);
    server.set(&format!(
        "public_url = \"https://localhost:{}\"\ntls.cert_file = \"tls.crt\"\ntls.key_file = \"tls.key\"\n{tls}",
        server.port
    ));
    lay(&server, &authority.certify(OWN));
    server.dir.write("ca.pem", authority.pem());
    server
}

fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.port)
}

/// Starts it, and waits until it is ready.
fn go(server: &mut Server, http: &Http) {
    let command = server.command();
    server.go_unready(command);
    let ready = url(server, "/readyz");
    server
        .process()
        .ready("rollcall by TLS", || http.try_send(http.get(&ready)).ok().filter(|answer| answer.status == 200));
}

#[test]
fn the_command_line_and_doctor_speak_https_and_name_what_is_missing() {
    let authority = Authority::new("ours");
    let mut server = prepared(&authority, "", "");
    let http = Http::trusting(&authority.pem(), None);
    go(&mut server, &http);
    let ca = server.dir.join("ca.pem").display().to_string();
    let sources = server.cli(&["--ca-file", &ca, "sources"]).ok();
    assert!(sources.contains("flexnet"), "{sources}");
    let doctor = server.cli(&["--ca-file", &ca, "doctor"]);
    assert!(doctor.out.contains("certificate") && doctor.out.contains("of localhost"), "{doctor:?}");
    assert!(doctor.out.contains("tls: the certificate of localhost"), "{doctor:?}");
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let untrusted = server.cli(&["sources"]);
    assert!(untrusted.code == 3 && untrusted.err.contains("--ca-file"), "{untrusted:?}");
    // Plain HTTP is not answered there.
    assert!(server.http.try_send(server.http.get(&server.url("/readyz"))).is_err());
    // Nor is a token's realm another: links are made of the address that clients reach.
    let config = http.send(http.get(&url(&server, "/.well-known/authzen-configuration"))).expect(200);
    assert!(config.text.contains(&url(&server, "")), "{config:?}");
}

#[test]
fn a_pair_that_does_not_fit_leaves_the_old_one_and_a_good_one_is_taken_without_a_restart() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let mut server = prepared(&first, "", "");
    let http = Http::trusting(&first.pem(), None);
    go(&mut server, &http);
    let details = || {
        let request = http.get(&url(&server, "/readyz?verbose")).bearer_auth(server.admin_key());
        http.send(request).expect(200).text
    };
    assert!(details().contains("[+] tls: the certificate of localhost ends"), "{}", details());
    // Half of a renewal: the key is of another certificate.
    let renewed = second.certify(OWN);
    server.dir.write("tls.key", &renewed.1);
    wait_for("the refusal", || details().contains("not taken").then_some(()));
    assert!(details().contains("does not belong to the certificate"), "{}", details());
    assert!(server.log().contains("stays in use"), "{}", server.log());
    // A new connection still gets the old one.
    let fresh = Http::trusting(&first.pem(), None);
    fresh.send(fresh.get(&url(&server, "/readyz"))).expect(200);
    fs::remove_file(server.dir.join("tls.key")).unwrap();
    wait_for("the other refusal", || details().contains("cannot be read").then_some(()));
    // A whole pair that is over.
    lay(&server, &second.certify_until(OWN, 2020));
    wait_for("the refusal of what is over", || details().contains("the certificate ended 2020").then_some(()));
    fs::remove_file(server.dir.join("tls.key")).unwrap();
    // The whole of it, but that anybody could have written it: what starts no server is not taken later either.
    server.dir.write("tls.crt", &renewed.0);
    let open = server.dir.write("open.key", &renewed.1);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();
    fs::rename(&open, server.dir.join("tls.key")).unwrap();
    wait_for("the third refusal", || details().contains("others may write").then_some(()));
    fs::set_permissions(server.dir.join("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let by_second = || {
        let http = Http::trusting(&second.pem(), None);
        http.try_send(http.get(&url(&server, "/readyz"))).ok().filter(|answer| answer.status == 200)
    };
    wait_for("the new certificate", by_second);
    let stale = Http::trusting(&first.pem(), None);
    assert!(stale.try_send(stale.get(&url(&server, "/readyz"))).is_err());
}

#[test]
fn a_client_certificate_is_looked_at_by_the_source_that_demands_one_and_by_nobody_else() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let more = "\n[source.portal]\nauthentication = \"certificate\"\nclient_names = [\"licensing.test\"]\n";
    let mut server = prepared(&ours, "tls.client_ca_file = \"ca.pem\"", more);
    let shows = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.certify(&[name]);
        Http::trusting(&ours.pem(), Some(&format!("{key}{certificate}")))
    };
    let nothing = Http::trusting(&ours.pem(), None);
    go(&mut server, &nothing);
    let post = |http: &Http, id: &str| -> Answer {
        let event = json!({"specversion": "1.0", "id": id, "source": "/a", "type": "rollcall.product.upserted.v1",
            "sequence": 1, "data": {"product": id}});
        let request = http.post(&url(&server, "/hooks/portal")).header("content-type", "application/cloudevents+json");
        http.send(request.body(event.to_string()))
    };
    let (right, wrong_name, foreign) =
        (shows(&ours, "licensing.test"), shows(&ours, "other.test"), shows(&theirs, "licensing.test"));
    for (http, reason) in
        [(&nothing, "certificate-missing"), (&wrong_name, "certificate-mismatch"), (&foreign, "certificate-untrusted")]
    {
        let answer = post(http, "x").expect(401);
        assert!(answer.text.contains(reason), "{reason}: {answer:?}");
        // Whoever shows it is served everything else like anybody.
        http.send(http.get(&url(&server, "/api/v1/projects")).bearer_auth(server.admin_key())).expect(200);
    }
    assert_eq!(post(&right, "good").expect(202).json()["events"][0]["outcome"], "recorded");
    // Binary mode is covered by the certificate.
    let request = right.post(&url(&server, "/hooks/portal")).header("content-type", "application/json");
    let request = [("specversion", "1.0"), ("id", "b"), ("source", "/a"), ("type", "rollcall.product.upserted.v1")]
        .into_iter()
        .fold(request, |request, (name, value)| request.header(format!("ce-{name}"), value));
    let answer = right.send(request.header("ce-sequence", "1").body(r#"{"product":"B"}"#)).expect(202).json();
    assert_eq!(answer["events"][0]["outcome"], "recorded", "{answer}");
}

#[test]
fn a_configuration_of_tls_that_cannot_work_is_refused_with_its_place() {
    let authority = Authority::new("ours");
    let dir = Dir::new();
    let ((certificate, key), (_, other_key)) = (authority.certify(OWN), authority.certify(OWN));
    for (name, text) in [("a.crt", &certificate), ("a.key", &key), ("b.key", &other_key)] {
        dir.write(name, text);
    }
    let certificates = "[source.x]\nauthentication = \"certificate\"\nclient_names = [\"x\"]\n";
    for (config, says) in [
        ("[server.tls]\ncert_file = \"a.crt\"\nkey_file = \"a.key\"\n", ""),
        ("[server.tls]\ncert_file = \"a.crt\"\nkey_file = \"b.key\"\n", "does not belong"),
        ("[server.tls]\ncert_file = \"a.crt\"\n", "server.tls.key_file"),
        ("[server.tls]\nkey_file = \"a.key\"\n", "server.tls.cert_file"),
        ("[server.tls]\ncert_file = \"gone\"\nkey_file = \"a.key\"\n", "cannot be read"),
        ("[server.tls]\nclient_ca_file = \"a.crt\"\n", "server.tls.client_ca_file"),
        (certificates, "server.tls.client_ca_file"),
    ] {
        let file = dir.write("rollcall.toml", config);
        let said = run(Command::new(BINARY).args(["config", "check", "--config"]).arg(&file), &dir);
        let all = format!("{}{}", said.out, said.err);
        assert!((said.code == 0) == says.is_empty() && all.contains(says), "{config}: {said:?}");
    }
}

/// What the page shows can be pasted: every block of it is a configuration that is taken.
#[test]
fn every_block_of_the_page_about_tls_and_proxies_is_a_configuration() {
    let page =
        fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tls-and-proxies.md"))
            .unwrap();
    let authority = Authority::new("ours");
    let (certificate, key) = authority.certify(&["registry.example.com"]);
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for block in blocks {
        let dir = Dir::new();
        for (name, text) in [("tls.crt", &certificate), ("tls.key", &key), ("clients-ca.pem", &authority.pem())] {
            dir.write(name, text);
        }
        dir.write("portal.token", "0123456789abcdef0123456789abcdef\n");
        let file = dir.write("rollcall.toml", block);
        let said = run(Command::new(BINARY).args(["config", "check", "--config"]).arg(&file), &dir);
        assert_eq!(said.code, 0, "{block}\n{said:?}");
    }
}
