//! Licensing systems that are known by name: their own signatures and payloads through the hook, and what these come to.

use std::{fs, path::Path, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::support::{
    Dir,
    api::{Answer, unix_now},
    found, path, run,
    server::Server,
    skip, wait_for,
};

const SIGNING_SECRET: &str = "whsec_0123456789abcdefghijklmnopqrstuv";

/// A sample of a system's notifications.
fn sample(system: &str, name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/entitlements/testdata/mapped");
    fs::read_to_string(folder.join(system).join(name)).unwrap()
}

fn post(server: &Server, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = server.http.post(&server.url(&format!("/hooks/{source}"))).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.http.send(request.body(body.to_owned()))
}

/// The words for what became of each event, once they count.
fn outcomes(server: &Server, answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().unwrap();
    events.iter().for_each(|event| server.reached(event["position"].as_u64().unwrap()));
    events.iter().map(|event| event["outcome"].as_str().unwrap().to_owned()).collect()
}

fn verdict(server: &Server, answer: &Value) -> String {
    let path = format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap());
    wait_for("the delivery to be settled", || {
        let kept = server.get(&path).expect(200).json();
        (kept["verdict"] != "pending").then(|| kept["verdict"].as_str().unwrap().to_owned())
    })
}

fn may_pull(server: &Server) -> bool {
    match server.cli(&["why", "ada", "pull", "acme/db"]) {
        said if said.code == 0 => true,
        said if said.code == 1 => false,
        said => panic!("{said:?}"),
    }
}

fn stripe(server: &Server, body: &str) -> Value {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes());
    let now = unix_now();
    let tag = aws_lc_rs::hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    post(server, "stripe", &[("stripe-signature", &format!("t={now},v1={tag}"))], body).expect(202).json()
}

fn with_stripe(more: &str) -> Server {
    let mut server = Server::prepared(&format!(
        "[source.stripe]\nkind = \"mapped\"\nmapping = \"stripe\"\nauthentication = \"stripe\"\nsecret_file = \"stripe.secret\"\n{more}"
    ));
    server.dir.write("stripe.secret", SIGNING_SECRET);
    server.go();
    server
}

#[test]
fn a_stripe_subscription_gives_and_takes_a_right_and_a_test_event_does_neither() {
    let server = with_stripe("");
    let says = |name: &str| stripe(&server, &sample("stripe", name));
    for name in ["01-product.json", "02-customer.json", "03-subscribed.json"] {
        let answer = says(name);
        assert!(outcomes(&server, &answer).iter().all(|word| word == "recorded"), "{name}: {answer}");
        assert_eq!(answer["quarantined"], 0, "{name}: {answer}");
    }
    assert!(may_pull(&server));
    let test = says("11-test-mode.json");
    assert_eq!((outcomes(&server, &test).len(), verdict(&server, &test).as_str()), (0, "quarantined"));
    assert_eq!(verdict(&server, &says("13-invoice.json")), "ignored", "known, and means nothing");
    let once = says("07-canceled.json");
    assert!(outcomes(&server, &once).iter().all(|word| word == "recorded"), "{once}");
    assert!(!may_pull(&server));
    assert!(outcomes(&server, &says("07-canceled.json")).iter().all(|word| word == "duplicate"), "it comes again");
    let late = says("05-past-due.json");
    assert!(outcomes(&server, &late).iter().all(|word| word == "recorded"), "{late}");
    assert!(!may_pull(&server), "what was said before it ended comes late, and does not bring it back");
}

/// E7: of 25 features ten stand in the event, and none that was there before is taken away.
#[test]
fn features_that_do_not_fit_into_an_event_end_nothing() {
    let server = with_stripe("require = [\"payload.livemode == true\"]\n");
    let says = |name: &str| {
        let answer = stripe(&server, &sample("stripe", name));
        assert_eq!(answer["quarantined"], 0, "{name}: {answer}");
        outcomes(&server, &answer);
    };
    let lines = || {
        let events = server.pages("/api/v1/events?source=stripe&limit=500");
        let mut lines: std::collections::BTreeMap<String, bool> = std::collections::BTreeMap::new();
        for event in &events {
            let subject = event["subject"].as_str().unwrap();
            if subject.starts_with("line/cus_Globex:") {
                lines.insert(subject.to_owned(), event["type"] == "rollcall.entitlement.line.upserted.v1");
            }
        }
        lines.into_iter().filter(|(_, there)| *there).count()
    };
    says("08-features.json");
    assert_eq!(lines(), 2);
    says("09-feature-less.json");
    assert_eq!(lines(), 1, "a whole list says what is gone");
    says("10-has-more.json");
    assert_eq!(lines(), 11, "a part of a list says nothing of the rest");
}

/// What Stripe's own SDK signs.
#[test]
fn stripes_own_sdk_signs_payloads_that_verify_and_a_wrong_one_does_not() {
    if !found("node") || !found("npm") {
        return;
    }
    let dir = Dir::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/support/stripe");
    for name in ["package.json", "package-lock.json", "sign.mjs"] {
        dir.write(name, fs::read(folder.join(name)).unwrap());
    }
    let in_dir = |program: &str, args: &[&str]| {
        run(Command::new(program).env("PATH", path()).current_dir(dir.path()).args(args), &dir)
    };
    let installed = in_dir("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    if installed.code != 0 {
        skip("npm", "cannot install the SDK here");
        return;
    }
    let server = with_stripe("");
    let body = sample("stripe", "02-customer.json");
    dir.write("body.json", &body);
    let sign = |secret: &str, at: i64| in_dir("node", &["sign.mjs", "body.json", secret, &at.to_string()]).ok();
    let sends = |signature: &str, body: &str| post(&server, "stripe", &[("stripe-signature", signature)], body);
    let good = sign(SIGNING_SECRET, unix_now());
    assert_eq!(outcomes(&server, &sends(&good, &body).expect(202).json()), ["recorded", "recorded"]);
    let refused = |signature: &str, body: &str| sends(signature, body).expect(401).text;
    assert!(refused(&sign("whsec_another0123456789abcdefghij", unix_now()), &body).contains("no `v1` fits"));
    assert!(refused(&good, &body.replace("ada@", "eve@")).contains("no `v1` fits"));
    assert!(refused(&sign(SIGNING_SECRET, unix_now() - 400), &body).contains("300 s away"));
}

/// An account of Keygen that signs with ed25519.
struct Keygen {
    pair: aws_lc_rs::signature::Ed25519KeyPair,
}

impl Keygen {
    fn public(&self) -> String {
        use aws_lc_rs::signature::KeyPair as _;
        self.pair.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn says(&self, server: &Server, name: &str) -> Answer {
        let body = sample("keygen", name);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let digest = format!("sha-256={}", BASE64_STANDARD.encode(digest));
        let date =
            chrono::DateTime::from_timestamp(unix_now(), 0).unwrap().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let signed =
            format!("(request-target): post /hooks/keygen\nhost: rollcall.example.com\ndate: {date}\ndigest: {digest}");
        let signature = BASE64_STANDARD.encode(self.pair.sign(signed.as_bytes()));
        let signature = format!(
            r#"keyid="acct-1", algorithm="ed25519", signature="{signature}", headers="(request-target) host date digest""#
        );
        post(server, "keygen", &[("keygen-signature", &signature), ("date", &date), ("digest", &digest)], &body)
    }
}

#[test]
fn a_keygen_licence_gives_a_right_while_it_is_good_and_an_inactive_one_is_good() {
    let keygen = Keygen { pair: aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap() };
    let mut server = Server::prepared(
        "[source.keygen]\nkind = \"mapped\"\nmapping = \"keygen\"\nauthentication = \"keygen\"\nsecret_file = \"keygen.key\"\nhook_url = \"https://rollcall.example.com/hooks/keygen\"\n",
    );
    server.dir.write("keygen.key", keygen.public());
    server.go();
    let says = |name: &str| {
        let answer = keygen.says(&server, name).expect(202).json();
        assert_eq!(answer["quarantined"], 0, "{name}: {answer}");
        (outcomes(&server, &answer), verdict(&server, &answer))
    };
    for name in ["01-product.json", "02-user.json", "03-license.json"] {
        assert_eq!(says(name).1, "recorded", "{name}");
    }
    assert!(may_pull(&server));
    says("04-inactive-is-good.json");
    assert!(may_pull(&server), "not used for long is not revoked");
    // Whoever sends an event again by hand gives it another id and the same token.
    let again = says("04-inactive-is-good.json");
    assert!(again.0.iter().all(|word| word == "duplicate"), "{again:?}");
    says("05-suspended.json");
    assert!(!may_pull(&server));
    assert_eq!(says("11-machine.json").1, "ignored");
    let other = Keygen { pair: aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[6; 32]).unwrap() };
    assert!(other.says(&server, "03-license.json").expect(401).text.contains("none of the account's keys"));
}

#[test]
fn a_sender_asks_whether_it_may_post_and_is_told_by_what_the_operator_wrote_down() {
    let mut server = Server::prepared(
        "webhook_origins = [\"eventgrid.example.com\"]\n[source.closed]\nkind = \"entitlements\"\nauthentication = \"bearer\"\nsecret_file = \"closed.secret\"\n",
    );
    server.dir.write("closed.secret", "licensing-token-of-0123456789-abcdef");
    server.go();
    let asks = |source: &str, origins: &[&str]| {
        let request = server.http.request(reqwest::Method::OPTIONS, &server.url(&format!("/hooks/{source}")));
        let request = request.header("webhook-request-rate", "120");
        let request = origins.iter().fold(request, |request, name| request.header("webhook-request-origin", *name));
        server.http.send(request)
    };
    let allowed = asks("flexnet", &["eventgrid.example.com"]).expect(200);
    assert_eq!(allowed.header("webhook-allowed-origin"), Some("eventgrid.example.com"));
    assert_eq!((allowed.header("webhook-allowed-rate"), allowed.header("allow")), (Some("*"), Some("POST")));
    for (source, origins, status) in [
        ("flexnet", &["other.example.com"][..], 403),
        ("flexnet", &[][..], 400),
        ("flexnet", &["eventgrid.example.com", "other.example.com"][..], 400),
        ("closed", &["eventgrid.example.com"][..], 403),
        ("nobody", &["eventgrid.example.com"][..], 404),
    ] {
        let answer = asks(source, origins).expect(status);
        assert_eq!(answer.header("webhook-allowed-origin"), None, "{source} {origins:?}");
    }
}

#[test]
fn a_source_that_shows_nothing_or_lacks_a_key_does_not_start_unless_that_is_written_down() {
    let told = |lines: &str, what: &str| {
        let server = Server::prepared(&format!("[source.portal]\nkind = \"mapped\"\n{lines}"));
        server.dir.write("portal.secret", "licensing-token-of-0123456789-abcdef");
        let said = server.refuses_to_start();
        assert!(said.err.contains(what), "{lines}: {said:?}");
    };
    let rule = "[[source.portal.map]]\nemit = \"product.upserted\"\nfields.product = \"payload.p\"\n";
    told(rule, "the source has no secret");
    told("mapping = \"flexnet\"\n", "the source has no secret");
    told("mapping = \"flexnt\"\nauthentication = \"none\"\n", "the nearest is `flexnet`");
    told("mapping = \"stripe\"\nauthentication = \"stripe\"\n", "Copy the signing secret");
    told(
        "mapping = \"keygen\"\nauthentication = \"keygen\"\nsecret_file = \"portal.secret\"\n",
        "`source.portal.hook_url`",
    );
    told(&format!("authentication = \"none\"\naddresses = [\"10.0.0.0/40\"]\n{rule}"), "no address and no network");
    told(
        &format!("authentication = \"none\"\nhook_url = \"https://x.example.com/\"\n{rule}"),
        "`authentication = \"keygen\"`",
    );
}

#[test]
fn a_source_with_addresses_takes_nothing_from_elsewhere() {
    let open = |name: &str, addresses: &str| {
        format!(
            "[source.{name}]\nkind = \"mapped\"\nmapping = \"flexnet\"\nauthentication = \"basic\"\nsecret_file = \"{name}.secret\"\naddresses = {addresses}\n"
        )
    };
    let mut server =
        Server::prepared(&format!("{}{}", open("near", "[\"127.0.0.0/8\"]"), open("far", "\"192.0.2.7\"")));
    for name in ["near", "far"] {
        server.dir.write(&format!("{name}.secret"), format!("{name}:0123456789abcdef"));
    }
    server.go();
    let body = sample("flexnet", "1-entitlement.json");
    let posts = |name: &str| {
        let credentials = BASE64_STANDARD.encode(format!("{name}:0123456789abcdef"));
        post(&server, name, &[("authorization", &format!("Basic {credentials}"))], &body)
    };
    assert_eq!(outcomes(&server, &posts("near").expect(202).json()), ["recorded"]);
    assert!(posts("far").expect(401).text.contains("none of its `addresses`"));
}
