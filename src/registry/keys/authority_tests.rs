//! The authority and its renewal: registries always have in time what they need.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};

use super::{AuthorityRole, KeyOptions, Keys};
use crate::suite::kit::Dir;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

/// The name of the authority that certified the key which signs.
fn certified_by(keys: &Keys) -> String {
    let set: serde_json::Value = serde_json::from_str(&keys.current().jwks()).unwrap();
    let leaf = STANDARD.decode(set["keys"][0]["x5c"][0].as_str().unwrap()).unwrap();
    let names: Vec<String> = keys.authorities().iter().map(|authority| authority.name.clone()).collect();
    let found = names.into_iter().find(|name| leaf.windows(name.len()).any(|part| part == name.as_bytes()));
    found.expect("an authority of the bundle certified it")
}

fn roles(keys: &Keys) -> Vec<AuthorityRole> {
    keys.authorities().iter().map(|authority| authority.role).collect()
}

fn certificates(keys: &Keys) -> usize {
    keys.bundle().matches("BEGIN CERTIFICATE").count()
}

#[test]
fn an_authority_is_renewed_by_itself_long_before_its_end_and_both_stand_in_the_bundle_meanwhile() {
    let dir = Dir::new();
    let options = KeyOptions::default();
    let keys = Keys::open(&dir.keys(), options.clone(), now()).unwrap();
    let (first, ends) = (certified_by(&keys), keys.authorities()[0].ends);
    keys.maintain(ends - options.authority_overlap - TimeDelta::seconds(1)).unwrap();
    assert_eq!((roles(&keys), certificates(&keys)), (vec![AuthorityRole::Certifies], 1));

    keys.maintain(ends - options.authority_overlap).unwrap();
    assert_eq!(roles(&keys), [AuthorityRole::Certifies, AuthorityRole::Next]);
    assert_eq!((certificates(&keys), certified_by(&keys)), (2, first.clone()));
    assert_eq!(keys.authorities()[1].replaced, ends - options.authority_takeover);
    let both = keys.bundle();
    let overlap = options.authority_overlap - options.authority_takeover;
    assert!(overlap >= TimeDelta::days(270), "time enough to give registries another bundle");

    let takeover = ends - options.authority_takeover;
    keys.maintain(takeover).unwrap();
    let second = certified_by(&keys);
    assert_ne!(second, first);
    assert_eq!(roles(&keys), [AuthorityRole::Certifies, AuthorityRole::Former]);
    assert!(both.contains(keys.bundle().split_inclusive("END CERTIFICATE-----\n").next().unwrap()), "it was in time");
    assert!(keys.current().list()[0].certificate_ends > takeover + TimeDelta::days(29), "no leaf is cut short");

    keys.maintain(takeover + options.retire_after).unwrap();
    assert_eq!((roles(&keys), certificates(&keys)), (vec![AuthorityRole::Certifies], 1));
    let reopened = Keys::open(&dir.keys(), options, takeover + TimeDelta::days(1)).unwrap();
    assert_eq!((certified_by(&reopened), certificates(&reopened)), (second, 1));
}

#[test]
fn an_authority_is_renewed_when_somebody_wants_it_in_two_steps() {
    let dir = Dir::new();
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap();
    let first = certified_by(&keys);
    assert!(keys.use_next_authority(now()).is_err(), "no registry could know it");
    assert_eq!(certified_by(&keys), first);
    keys.make_next_authority(now()).unwrap();
    let bundle = keys.bundle();
    keys.make_next_authority(now()).unwrap();
    assert_eq!((keys.bundle(), certificates(&keys)), (bundle.clone(), 2), "there is one next");
    assert_eq!(Keys::bundle_in(&dir.keys()).unwrap(), bundle);
    keys.use_next_authority(now()).unwrap();
    assert_ne!(certified_by(&keys), first);
    let former = std::fs::read_to_string(dir.keys().join("authority-former.json")).unwrap();
    assert!(former.contains(r#""private": """#), "a former authority's private key is erased");
}

#[test]
fn a_next_authority_that_was_made_long_ago_is_made_anew_while_registries_have_time() {
    let dir = Dir::new();
    let options = KeyOptions::default();
    let keys = Keys::open(&dir.keys(), options.clone(), now()).unwrap();
    keys.make_next_authority(now() + TimeDelta::days(100)).unwrap();
    let (ends, early) = (keys.authorities()[0].ends, keys.authorities()[1].name.clone());
    keys.maintain(ends - options.authority_overlap - TimeDelta::seconds(1)).unwrap();
    assert_eq!(keys.authorities()[1].name, early);
    keys.maintain(ends - options.authority_overlap).unwrap();
    let (second, bundle) = (keys.authorities()[1].name.clone(), keys.bundle());
    assert!(roles(&keys) == [AuthorityRole::Certifies, AuthorityRole::Next] && second != early);
    keys.maintain(ends - options.authority_overlap + TimeDelta::minutes(10)).unwrap();
    assert_eq!(keys.bundle(), bundle, "once");

    let takeover = ends - options.authority_takeover;
    keys.maintain(takeover).unwrap();
    keys.maintain(takeover + TimeDelta::days(1)).unwrap();
    assert_eq!((certified_by(&keys), roles(&keys)), (second, vec![AuthorityRole::Certifies]));
}

#[test]
fn a_server_that_slept_through_every_date_makes_what_it_needs() {
    let dir = Dir::new();
    let ends = Keys::open(&dir.keys(), KeyOptions::default(), now()).unwrap().authorities()[0].ends;
    let late = ends + TimeDelta::days(400);
    let keys = Keys::open(&dir.keys(), KeyOptions::default(), late).unwrap();
    keys.maintain(late).unwrap();
    assert!(keys.authorities()[0].ends > late && keys.current().list()[0].certificate_ends > late);
}
