//! Keys on disk, their rotation, and tokens that must not be believed.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{Access, Algorithm, Claims, KeyError, KeyOptions, KeySet, Keys, SignError, VerifyError, suite::kit::Dir};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn rsa() -> KeyOptions {
    KeyOptions { algorithm: Algorithm::Rs256, ..KeyOptions::default() }
}

fn claims(at: DateTime<Utc>) -> Claims {
    Claims {
        iss: "rollcall".into(),
        aud: "registry".into(),
        sub: "ada".into(),
        exp: at.timestamp() + 300,
        nbf: at.timestamp() - 30,
        iat: at.timestamp(),
        jti: "dec_1".into(),
        access: vec![Access { kind: "repository".into(), name: "acme/db".into(), actions: vec!["pull".into()] }],
    }
}

fn sign(keys: &KeySet, at: DateTime<Utc>) -> String {
    keys.sign(at.timestamp() + 300, &claims(at)).unwrap()
}

fn verify(keys: &KeySet, token: &str, at: DateTime<Utc>) -> Result<Claims, VerifyError> {
    keys.verify(token, "rollcall", "registry", at)
}

fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

/// The token with another header, signature kept.
fn with_header(token: &str, header: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), token.split_once('.').unwrap().1)
}

fn key_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn keys_are_made_once_and_only_their_owner_can_read_them() {
    let dir = Dir::new();
    let first = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let again = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    assert_eq!(first.current().list(), again.current().list());
    assert_eq!(first.bundle(), again.bundle());
    assert_eq!(first.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    assert!(!first.bundle().contains("PRIVATE"));
    assert!(verify(&again.current(), &sign(&first.current(), now()), now()).is_ok());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.keys()), 0o700);
    let files = key_files(&dir.keys());
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[test]
fn keys_that_are_gone_are_not_made_anew_before_somebody_says_so() {
    let dir = Dir::new();
    let made = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().bundle();
    assert_eq!(Keys::open_again(&dir.keys(), KeyOptions::default(), now()).unwrap().bundle(), made);
    let there = Keys::begin_anew(&dir.keys(), KeyOptions::default(), now()).unwrap_err();
    assert!(matches!(there, KeyError::There { .. }), "{there}");
    // The directory is gone; it is empty; only the key of the refresh tokens is left.
    let refresh = fs::read(dir.keys().join(super::REFRESH)).unwrap();
    for rest in [None, Some(None), Some(Some(&refresh))] {
        let _ = fs::remove_dir_all(dir.keys());
        if let Some(rest) = rest {
            fs::create_dir(dir.keys()).unwrap();
            rest.map_or(Ok(()), |refresh| fs::write(dir.keys().join(super::REFRESH), refresh)).unwrap();
        }
        let gone = Keys::open_again(&dir.keys(), KeyOptions::default(), now()).unwrap_err();
        assert!(matches!(gone, KeyError::Gone { .. }) && gone.to_string().contains("begin-anew"), "{gone}");
        assert!(!dir.keys().join(super::AUTHORITY).exists());
    }
    fs::remove_dir_all(dir.keys()).unwrap();
    let anew = Keys::begin_anew(&dir.keys(), KeyOptions::default(), now()).unwrap().bundle();
    assert_ne!(anew, made);
    assert_eq!(Keys::open_again(&dir.keys(), KeyOptions::default(), now()).unwrap().bundle(), anew);
}

#[test]
fn a_key_file_that_is_open_to_others_or_damaged_is_named_and_not_used() {
    for file in 0..3 {
        let dir = Dir::new();
        Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
        let path = key_files(&dir.keys()).remove(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap_err();
        assert!(matches!(&error, KeyError::Exposed { path: named, mode: 0o640 } if *named == path), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{").unwrap();
        let error = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap_err();
        assert!(matches!(&error, KeyError::Damaged { path: named, .. } if *named == path), "{error}");
    }
}

#[test]
fn a_rotation_changes_the_key_and_not_the_bundle_and_no_token_in_flight_is_lost() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let (bundle, old) = (keys.bundle().to_owned(), keys.current().list()[0].clone());
    let before = sign(&keys.current(), now());
    let new = keys.rotate(now()).unwrap();
    assert_ne!(new.kid, old.kid);
    let after = sign(&keys.current(), now());
    assert_eq!((header(&before)["kid"].as_str(), header(&after)["kid"].as_str()), (Some(&*old.kid), Some(&*new.kid)));
    assert_eq!(keys.bundle(), bundle);

    let reopened = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    for keys in [&keys, &reopened] {
        let last = now() + TimeDelta::seconds(299);
        assert!(verify(&keys.current(), &before, last).is_ok());
        assert!(verify(&keys.current(), &after, last).is_ok());
        assert_eq!(keys.current().list().len(), 2);
    }
    let erased = key_files(&dir.keys())
        .iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains(r#""private": null"#))
        .count();
    assert_eq!(erased, 1, "a retired key's private half is erased");

    assert_eq!(keys.maintain(now() + TimeDelta::seconds(359)).unwrap(), None);
    assert_eq!(keys.current().list().len(), 2);
    keys.maintain(now() + TimeDelta::seconds(360)).unwrap();
    assert_eq!(keys.current().list().len(), 1);
    assert_eq!(verify(&keys.current(), &before, now()), Err(VerifyError::UnknownKey));
    assert_eq!(key_files(&dir.keys()).len(), 3);
}

#[test]
fn rotating_under_load_fails_no_verification() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let token = sign(&keys.current(), now());
                        verify(&keys.current(), &token, now()).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..10 {
            keys.rotate(now()).unwrap();
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert_eq!(keys.current().list().len(), 11);
}

#[test]
fn a_certificate_near_its_end_is_replaced_and_never_outlived_by_a_token() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let old = keys.current();
    let ends = old.list()[0].certificate_ends;
    assert_eq!(keys.maintain(ends - TimeDelta::days(10)).unwrap(), None);
    let new = keys.maintain(ends - TimeDelta::days(10) + TimeDelta::seconds(1)).unwrap().unwrap();
    assert!(new.certificate_ends > ends);
    let late = ends - TimeDelta::seconds(300);
    assert_eq!(old.sign(late.timestamp() + 300, &claims(late)), Err(SignError::CertificateEnds));
    assert!(old.sign(late.timestamp() + 299, &claims(late)).is_ok());
    let asleep = Keys::open(&dir.keys(), KeyOptions::default(), ends + TimeDelta::days(365)).unwrap();
    assert!(asleep.current().list()[0].certificate_ends > ends + TimeDelta::days(365));
}

#[test]
fn the_algorithm_is_changed_by_a_rotation_and_back() {
    let dir = Dir::new();
    let es = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let old = sign(&es.current(), now());
    let rs = Keys::open(&dir.keys(), rsa(), now()).unwrap();
    assert_eq!(rs.current().list()[0].algorithm, Algorithm::Rs256);
    assert_eq!(rs.bundle(), es.bundle());
    let token = sign(&rs.current(), now());
    assert_eq!(header(&token)["alg"], "RS256");
    assert!(verify(&rs.current(), &token, now()).is_ok() && verify(&rs.current(), &old, now()).is_ok());
}

#[test]
fn the_jwk_set_names_each_key_with_its_certificate() {
    let dir = Dir::new();
    Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let keys = Keys::open(&dir.keys(), rsa(), now()).unwrap().current();
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let [rs, es] = &set["keys"].as_array().unwrap()[..] else { panic!("{set}") };
    assert_eq!((&rs["kty"], &rs["alg"], &rs["e"]), (&json!("RSA"), &json!("RS256"), &json!("AQAB")));
    assert_eq!(URL_SAFE_NO_PAD.decode(rs["n"].as_str().unwrap()).unwrap().len(), 256);
    assert_eq!((&es["kty"], &es["crv"], &es["alg"]), (&json!("EC"), &json!("P-256"), &json!("ES256")));
    assert_eq!(es["kid"].as_str(), Some(&*keys.list()[1].kid));
    assert_eq!(header(&sign(&keys, now()))["x5c"], rs["x5c"]);
    assert!(rs["d"].is_null() && es["d"].is_null());
}

#[test]
fn a05_the_header_never_says_how_a_token_is_checked() {
    let (dir, foreign) = (Dir::new(), Dir::new());
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().current();
    let foreign = Keys::open(&foreign.keys(), KeyOptions::default(), now()).unwrap().current();
    let good = header(&sign(&keys, now()));
    let jwk = serde_json::from_str::<Value>(&foreign.jwks()).unwrap()["keys"][0].clone();
    let forged = sign(&foreign, now());
    assert_eq!(verify(&keys, &forged, now()), Err(VerifyError::UnknownKey));
    for extra in ["jwk", "jku", "x5u", "x5c"] {
        let mut header = good.clone();
        header[extra] = match extra {
            "jwk" => jwk.clone(),
            "x5c" => jwk["x5c"].clone(),
            _ => json!("https://192.0.2.1/keys"),
        };
        assert_eq!(verify(&keys, &with_header(&forged, &header), now()), Err(VerifyError::Signature), "{extra}");
    }
}

#[test]
fn one_key_has_one_algorithm() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().current();
    let token = sign(&keys, now());
    for algorithm in ["none", "None", "HS256", "RS256", "ES384", "PS256", "EdDSA", "es256", ""] {
        let mut header = header(&token);
        header["alg"] = json!(algorithm);
        assert_eq!(verify(&keys, &with_header(&token, &header), now()), Err(VerifyError::UnknownKey), "{algorithm}");
    }
    let unsigned = token.rsplit_once('.').unwrap().0;
    assert!(verify(&keys, &format!("{unsigned}."), now()).is_err() && verify(&keys, unsigned, now()).is_err());
    for (at, _) in token.char_indices().filter(|(at, _)| at % 7 == 0) {
        let mut flipped = token.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        assert!(flipped == token || verify(&keys, &flipped, now()).is_err(), "byte {at}");
    }
}

#[test]
fn a06_times_and_audience_of_another_type_are_refused() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().current();
    let exp = now().timestamp() + 300;
    let good = serde_json::to_value(claims(now())).unwrap();
    for (claim, value) in [
        ("nbf", json!("999")),
        ("exp", json!(1e300)),
        ("exp", json!(exp.to_string())),
        ("exp", Value::Null),
        ("iat", json!(1.5)),
        ("aud", json!(["registry"])),
        ("sub", json!(1)),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        assert_eq!(verify(&keys, &keys.sign(exp, &claims).unwrap(), now()), Err(VerifyError::Malformed), "{claims}");
    }
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("exp");
    assert_eq!(verify(&keys, &keys.sign(exp, &without).unwrap(), now()), Err(VerifyError::Malformed));
}

#[test]
fn a29_a_token_is_good_for_one_issuer_one_service_and_its_time() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().current();
    let token = sign(&keys, now());
    assert_eq!(keys.verify(&token, "rollcall", "other", now()), Err(VerifyError::Audience));
    assert_eq!(keys.verify(&token, "other", "registry", now()), Err(VerifyError::Audience));
    assert_eq!(verify(&keys, &token, now() + TimeDelta::seconds(300)), Err(VerifyError::Time));
    assert_eq!(verify(&keys, &token, now() - TimeDelta::seconds(31)), Err(VerifyError::Time));
    assert!(verify(&keys, &token, now() + TimeDelta::seconds(299)).is_ok());
    assert!(verify(&keys, &token, now() - TimeDelta::seconds(30)).is_ok());
}

/// Signing is ours because the library parses and checks the private key anew for each token; so the library reads what
/// we sign, with nothing of ours but the published key set.
#[test]
fn an_independent_reader_believes_our_tokens_by_the_published_keys_alone() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let dir = Dir::new();
        let keys = Keys::open(&dir.keys(), KeyOptions { algorithm, ..KeyOptions::default() }, now()).unwrap();
        let current = keys.current();
        let token = sign(&current, now());
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&current.jwks()).unwrap();
        let head = jsonwebtoken::decode_header(&token).unwrap();
        let key = set.find(&head.kid.unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(head.alg);
        rules.validate_exp = false;
        rules.set_issuer(&["rollcall"]);
        rules.set_audience(&["registry"]);
        let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
        let read = jsonwebtoken::decode::<Claims>(&token, &key, &rules).unwrap();
        assert_eq!(read.claims, claims(now()), "{algorithm}");
        rules.set_audience(&["another"]);
        assert!(jsonwebtoken::decode::<Claims>(&token, &key, &rules).is_err());
    }
}

#[test]
fn a_bundle_is_read_without_a_change_and_an_authority_that_is_gone_is_not_replaced() {
    let dir = Dir::new();
    let bundle = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().bundle().to_owned();
    let files = || {
        let mut names: Vec<_> = fs::read_dir(dir.keys()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    assert_eq!(Keys::bundle_in(&dir.keys()).unwrap(), bundle);
    fs::remove_file(dir.keys().join("authority.json")).unwrap();
    assert!(Keys::bundle_in(&dir.keys()).is_err());
    let error = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap_err().to_string();
    assert!(error.contains("authority.json") && error.contains("put it back"), "{error}");
    assert_eq!(files().len() + 1, before.len(), "nothing was made in its place");
}
