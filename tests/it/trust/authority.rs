//! The authority that every registry trusts is renewed without a gap.

use serde_json::json;

use crate::support::{
    registry::Registry,
    server::{Server, WORLD},
};

#[test]
fn a_registry_that_has_the_bundle_with_both_authorities_notices_no_renewal() {
    let server = Server::start();
    server.say(WORLD);
    let (ada, pia) = (server.secret_for("ada"), server.secret_for("pia"));
    let early = server.cli(&["keys", "use-authority"]);
    assert!(early.code != 0 && early.err.contains("make it first"), "{early:?}");
    let before = server.cli(&["keys", "bundle"]).ok();
    let made = server.cli(&["keys", "renew-authority"]).ok();
    assert!(made.contains("next") && made.contains("rollcall keys bundle"), "{made}");
    let both = server.cli(&["keys", "bundle"]).ok();
    assert!(both.contains(&before) && both.matches("BEGIN CERTIFICATE").count() == 2, "{both}");
    let doctor = server.cli(&["doctor"]);
    assert!(doctor.out.contains("every registry needs `rollcall keys bundle`"), "{}", doctor.out);
    let registry = Registry::start(&server);
    if let Some(registry) = &registry {
        registry.push("pia", &pia, "acme/db:1").ok();
    }
    let used = server.post("/api/v1/keys/authorities", &json!({"step": "use"})).expect(200).json();
    assert_eq!(used["items"][0]["role"], "certifies", "{used}");
    let now = server.cli(&["keys", "bundle"]).ok();
    assert!(!now.starts_with(&before), "another one is first");
    if let Some(registry) = &registry {
        registry.pull("ada", &ada, "acme/db:1").ok();
        registry.push("pia", &pia, "acme/db:2").ok();
    }
}
