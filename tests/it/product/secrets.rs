//! What is printed for clients is for the registry that they sign in to, and whoever makes a secret is told where it is of
//! no use.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::support::server::{Server, WORLD};

#[test]
fn a_secret_in_a_clients_format_names_the_registry_of_the_setting_and_never_this_server() {
    let mut server = Server::start();
    server.say(WORLD);
    let secrets = |server: &Server| server.get("/api/v1/users/ada/secrets").json()["items"].as_array().unwrap().len();
    for format in ["docker-config", "k8s", "helm"] {
        let said = server.cli(&["secrets", "issue", "ada", "--format", format]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains("--registry") && said.err.contains("token.registry"), "{said:?}");
    }
    assert_eq!(secrets(&server), 0, "a secret was made that nobody saw");
    let said = server.cli(&["secrets", "issue", "ada", "--format", "k8s", "--registry", "https://r.test/"]);
    assert!(said.code == 2 && said.err.contains("is no registry"), "{said:?}");
    let named = server.cli(&["secrets", "issue", "ada", "--format", "docker-config", "--registry", "r.test:5000"]).ok();
    assert!(serde_json::from_str::<Value>(&named).unwrap()["auths"]["r.test:5000"]["auth"].is_string(), "{named}");
    assert!(!server.cli(&["secrets", "issue", "ada"]).ok().is_empty(), "a secret alone names no registry");

    server.stop();
    let path = server.dir.join("rollcall.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n[token]\nregistry = \"registry.example.com\"\n")).unwrap();
    server.go();
    let config = server.cli(&["secrets", "issue", "ada", "--format", "docker-config"]).ok();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["auths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["registry.example.com"]);
    let manifest = server.cli(&["secrets", "issue", "ada", "--format", "k8s"]).ok();
    let encoded = manifest.trim().rsplit(' ').next().unwrap();
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap();
    assert!(decoded.contains("\"registry.example.com\""), "{decoded}");
    let helm = server.cli(&["secrets", "issue", "ada", "--format", "helm"]).ok();
    assert!(helm.contains("helm registry login registry.example.com --username ada"), "{helm}");
}

#[test]
fn a_secret_or_an_invitation_for_somebody_who_is_shut_out_says_so_and_why() {
    let server = Server::start();
    server.say("flexnet person.upserted ada");
    for command in [["secrets", "issue", "ada"], ["secrets", "invite", "ada"]] {
        let said = server.cli(&command);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    }
    let told = |server: &Server, why: &str| {
        for command in [["secrets", "issue", "ada"], ["secrets", "invite", "ada"]] {
            let said = server.cli(&command);
            assert_eq!(said.code, 0, "it is made nevertheless: {said:?}");
            assert!(!said.out.is_empty() && said.err.contains("ada is shut out"), "{said:?}");
            assert!(said.err.contains(why), "{said:?}");
        }
    };
    server.say("flexnet person.upserted ada active=false");
    told(&server, "flexnet calls ada inactive");
    server.say("flexnet person.upserted ada");
    server.cli(&["sources", "suspend", "flexnet"]).ok();
    told(&server, "the source flexnet is suspended");
    server.cli(&["sources", "resume", "flexnet"]).ok();
    server.say("flexnet person.removed ada");
    told(&server, "flexnet has no ada any more");
    let answer = server.post("/api/v1/users/ada/secrets", &serde_json::json!({})).expect(201).json();
    assert!(answer["shut_out"].as_str().unwrap().contains("flexnet has no ada"), "{answer}");
}
