//! What lies at rest gives nothing away: whoever has every file, and a dictionary, finds no credential.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
};

use aws_lc_rs::hmac;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rollcall_events::Digest;
use serde_json::json;

use crate::support::server::{Server, WORLD};

/// An administrator's key that somebody chose, and that is in a dictionary.
const CANARY: &str = "correct-horse-battery-staple";

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// What a guess could have been kept as: as it is, as it is sent, and as what is derived of either, alone and beside what
/// a thief knows of the request.
fn derivations(guess: &str, keys: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let basic = BASE64_STANDARD.encode(format!("ada:{guess}"));
    let sent = [guess.to_owned(), format!("Bearer {guess}"), format!("Basic {basic}"), basic.clone()];
    let framed = |parts: &[&str]| -> Vec<u8> {
        parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part.as_bytes()].concat()).collect()
    };
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for text in &sent {
        texts.push(text.clone().into_bytes());
        for purpose in ["row", "seal", "request"] {
            texts.push(framed(&[purpose, text, "order-4711"]));
            texts.push(framed(&[purpose, text]));
        }
        texts.push(framed(&[text, "order-4711"]));
        texts.push(framed(&[text]));
    }
    let mut found: Vec<Vec<u8>> = vec![guess.as_bytes().to_vec(), basic.into_bytes()];
    for text in texts {
        let mut digests = vec![Digest::of(&text).0.to_vec()];
        digests.extend(
            keys.iter().map(|key| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &text).as_ref().to_vec()),
        );
        for digest in digests {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            found.extend([digest, hex.into_bytes()]);
        }
    }
    found
}

/// The files in which a guess is found.
fn finds(guess: &str, files: &[(String, Vec<u8>)]) -> Vec<String> {
    // Whatever short file could be a key, as it stands and as what it says.
    let mut keys = BTreeSet::new();
    for (_, bytes) in files.iter().filter(|(_, bytes)| (16..=256).contains(&bytes.len())) {
        let text = String::from_utf8_lossy(bytes).trim().to_owned();
        keys.extend(BASE64_URL_SAFE_NO_PAD.decode(&text).ok());
        keys.extend(BASE64_STANDARD.decode(&text).ok());
        keys.extend([bytes.clone(), text.into_bytes()]);
    }
    let wanted: HashSet<Vec<u8>> = derivations(guess, &keys).into_iter().collect();
    let lengths: BTreeSet<usize> = wanted.iter().map(Vec::len).collect();
    let has = |bytes: &[u8]| lengths.iter().any(|length| bytes.windows(*length).any(|window| wanted.contains(window)));
    files.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_dictionary_finds_no_credential_in_any_file_of_the_data_directory_or_of_a_backup() {
    let mut server = Server::start();
    server.say(WORLD);
    server.stop();
    let mut command = server.command();
    command.env("ROLLCALL_ADMIN_KEY", CANARY);
    server.go_as(command);
    let secrets = server.url("/api/v1/users/ada/secrets");
    let ask = || {
        let request = server.http.post(&secrets).bearer_auth(CANARY).header("idempotency-key", "order-4711");
        server.http.send(request.header("content-type", "application/json").body(json!({"label": "x"}).to_string()))
    };
    let made = ask().expect(201);
    assert_eq!(ask().expect(201).text, made.text, "it is kept");
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(server.cli(&["backup", "copy"]).code, 0);
    let (mut data, mut copy) = (Vec::new(), Vec::new());
    files(&server.data(""), &mut data);
    files(&server.dir.join("copy"), &mut copy);
    assert!(copy.iter().all(|(name, _)| !name.ends_with("answers.key")) && copy.len() > 3, "what names answers stays");
    for found in [&data, &copy] {
        for guess in [CANARY, &secret] {
            let mut kept = finds(guess, found);
            // A registry secret is 256 random bits: the log keeps its SHA-256, which nobody finds by trying.
            if guess == secret {
                kept.retain(|name| {
                    !["log.db", "read.db", "roster", ".snapshot"].iter().any(|part| name.contains(part))
                });
            }
            assert_eq!(kept, Vec::<String>::new());
        }
    }
    server.stop();
    let mut stopped = Vec::new();
    files(&server.data(""), &mut stopped);
    assert_eq!(finds(CANARY, &stopped), Vec::<String>::new());
    // The attack would find it, were it there.
    let old: Vec<u8> = ["row", &format!("Bearer {CANARY}"), "order-4711"]
        .iter()
        .flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part.as_bytes()].concat())
        .collect();
    let row = format!("..{}..", Digest::of(&old));
    assert_eq!(finds(CANARY, &[("ops.db".to_owned(), row.into_bytes())]), ["ops.db"]);
}
