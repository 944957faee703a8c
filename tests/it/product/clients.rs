//! C29 of the client cases: real clients against Debian's registry and our tokens, exit codes and messages as users see
//! them. The other cases are tests of the token server's own crate.

use crate::support::{
    registry::Registry,
    server::{Server, WORLD},
};

#[test]
fn c29_real_clients_inspect_list_mount_and_are_told_no_as_they_expect() {
    let server = Server::start();
    server.say(WORLD);
    let (ada, pia) = (server.secret_for("ada"), server.secret_for("pia"));
    let Some(registry) = Registry::start(&server) else { return };
    registry.push("pia", &pia, "acme/db:1").ok();

    let image = format!("docker://{}", registry.image("acme/db:1"));
    let inspected = registry.skopeo_with_creds("ada", &ada, &["inspect", &image]).ok();
    assert!(inspected.contains("sha256:"), "{inspected}");
    let tags = registry
        .skopeo_with_creds("ada", &ada, &["list-tags", &format!("docker://{}", registry.image("acme/db"))])
        .ok();
    assert!(tags.contains("\"1\""), "{tags}");

    // The same blobs under another name: the client asks for both repositories at once.
    registry.push("pia", &pia, "acme/copy:1").ok();
    registry.pull("ada", &ada, "acme/copy:1").ok();

    // Delete is no right of any role here; the client asks for `*` first.
    let deleted = registry.skopeo_with_creds("ada", &ada, &["delete", &image]);
    assert_ne!(deleted.code, 0, "{deleted:?}");
    registry.pull("ada", &ada, "acme/db:1").ok();

    let denied = registry.push("ada", &ada, "acme/db:2");
    assert!(denied.err.contains("denied"), "{denied:?}");
    let unknown = registry.pull("nobody", "rcs_nothing", "acme/db:1");
    assert!(unknown.err.contains("invalid username/password"), "{unknown:?}");
}

#[test]
fn c29_odd_characters_in_a_user_name_come_through_a_real_client() {
    let server = Server::start();
    server.say(&WORLD.replace("flexnet person.upserted ada", "flexnet person.upserted ada username=ada@globex.test"));
    let secret = server.secret_for("ada@globex.test");
    let pia = server.secret_for("pia");
    let Some(registry) = Registry::start(&server) else { return };
    registry.push("pia", &pia, "acme/db:1").ok();
    registry.pull("ada@globex.test", &secret, "acme/db:1").ok();
    registry.pull("ADA@Globex.test", &secret, "acme/db:1").ok();
}

/// C28 and the fields of the table in section 7, as each client is answered by the same server.
#[test]
fn c28_docker_reads_the_reason_and_the_others_their_own_words() {
    let server = Server::start();
    server.say(WORLD);
    let ada = server.secret_for("ada");
    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");
    let asked = |agent: &str| {
        let url = server.url("/token?service=rollcall&scope=repository:acme/db:pull");
        server.http.send(server.http.get(&url).basic_auth("ada", Some(&ada)).header("user-agent", agent))
    };
    for agent in ["docker/20.10.24 go/go1.19", "Docker-Client/28.2.2 (linux)", "Helm/3.19.0"] {
        let told = asked(agent).expect(403).json();
        let message = told["errors"][0]["message"].as_str().unwrap();
        assert_eq!(told["errors"][0]["code"], "DENIED");
        assert!(message.contains("ENT-7") && message.contains("dec_"), "{message}");
        let decision = format!(
            "dec_{}",
            message.split("dec_").nth(1).unwrap().split(|c: char| !c.is_alphanumeric()).next().unwrap()
        );
        let kept = crate::support::wait_for("the decision to be kept", || {
            Some(server.get(&format!("/api/v1/decisions/{decision}"))).filter(|answer| answer.status == 200)
        });
        assert!(kept.text.contains("acme/db"), "{kept:?}");
    }
    for agent in ["skopeo/1.9.3", "containers/5.23.1 (github.com/containers/image)", "containerd/1.6.20", "curl/8"] {
        asked(agent).expect(200);
    }
}
