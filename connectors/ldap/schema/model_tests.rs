//! What entries of Active Directory and 389 Directory Server mean, attribute by attribute.

use chrono::{DateTime, Utc};

use crate::{
    config::{Base, Config},
    schema::{
        model::{Listed, Schema},
        server::Kind,
    },
    wire::message::Entry,
};

fn schema(kind: Kind) -> Schema {
    let base: Base = "dc=ex,dc=test".parse().unwrap();
    Schema::of(&Config::new(vec!["ldaps://x".parse().unwrap()], base), kind)
}

fn entry(dn: &str, attributes: &[(&str, &[u8])]) -> Entry {
    let attributes = attributes.iter().map(|(name, value)| (name.to_lowercase(), vec![value.to_vec()])).collect();
    Entry { dn: dn.to_owned(), attributes }
}

fn now() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

const GUID: &[u8] = b"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
/// S-1-5-21-1-2-3-1104
const SID: &[u8] = b"\x01\x05\0\0\0\0\0\x05\x15\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x50\x04\0\0";

#[test]
fn a_guid_is_written_as_microsoft_writes_it_and_found_again_by_it() {
    let ad = schema(Kind::ActiveDirectory);
    let person =
        ad.person(&entry("CN=ada,DC=ex,DC=test", &[("objectGUID", GUID), ("sAMAccountName", b"ada")]), now()).unwrap();
    assert_eq!(person.id.as_str(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(ad.id_value(&person.id), GUID);
    // Trap 12: a GUID that happens to be text is bytes all the same.
    let text = ad.person(&entry("CN=x", &[("objectGUID", b"0123456789abcdef")]), now()).unwrap();
    assert_eq!(text.id.as_str(), "33323130-3534-3736-3839-616263646566");
    assert!(ad.person(&entry("CN=x", &[("objectGUID", b"short")]), now()).is_err());
    assert!(
        ad.person(&entry("CN=x", &[("sAMAccountName", b"ada")]), now()).unwrap_err().what.contains("no objectGUID")
    );
}

#[test]
fn the_primary_group_is_the_one_with_that_number_in_the_same_domain() {
    let ad = schema(Kind::ActiveDirectory);
    let attributes: &[(&str, &[u8])] = &[("objectGUID", GUID), ("objectSid", SID), ("primaryGroupID", b"513")];
    let person = ad.person(&entry("CN=ada,DC=ex,DC=test", attributes), now()).unwrap();
    let sid = [&SID[..24], b"\x01\x02\0\0"].concat();
    let users = entry("CN=Domain Users,DC=ex,DC=test", &[("objectGUID", b"fedcba9876543210"), ("objectSid", &sid)]);
    assert_eq!(person.primary, ad.group(&users).unwrap().sid);
}

#[test]
fn an_account_is_in_force_unless_it_is_disabled_or_expired() {
    let table: &[(Kind, &str, &str, bool)] = &[
        (Kind::ActiveDirectory, "userAccountControl", "512", true),
        (Kind::ActiveDirectory, "userAccountControl", "514", false),
        (Kind::ActiveDirectory, "userAccountControl", "546", false),
        (Kind::ActiveDirectory, "userAccountControl", "66048", true),
        // It is not shown to us, or is nothing.
        (Kind::ActiveDirectory, "userAccountControl", "", false),
        (Kind::ActiveDirectory, "lockoutTime", "134000000000000000", true),
        (Kind::ActiveDirectory, "accountExpires", "0", true),
        (Kind::ActiveDirectory, "accountExpires", "9223372036854775807", true),
        // 2026-02-28 and 2026-03-02
        (Kind::ActiveDirectory, "accountExpires", "134166528000000000", false),
        (Kind::ActiveDirectory, "accountExpires", "134168256000000000", true),
        (Kind::Ds389, "nsAccountLock", "TRUE", false),
        (Kind::Ds389, "nsAccountLock", "false", true),
        (Kind::OpenLdap, "pwdAccountLockedTime", "000001010000Z", false),
        // After wrong passwords: anybody could do that to anybody.
        (Kind::OpenLdap, "pwdAccountLockedTime", "20260228120000Z", true),
        (Kind::OpenLdap, "pwdEndTime", "20260228120000Z", false),
        (Kind::OpenLdap, "pwdEndTime", "20260302120000Z", true),
        (Kind::Ds389, "krbPrincipalExpiration", "20260228120000Z", false),
        (Kind::Ds389, "krbPrincipalExpiration", "20380101000000Z", true),
        (Kind::OpenDj, "ds-pwp-account-disabled", "true", false),
        (Kind::OpenDj, "ds-pwp-account-disabled", "false", true),
        (Kind::OpenDj, "ds-pwp-account-expiration-time", "20260228120000.000Z", false),
        (Kind::EDirectory, "loginDisabled", "TRUE", false),
        (Kind::EDirectory, "loginDisabled", "FALSE", true),
        (Kind::EDirectory, "loginExpirationTime", "20260302000000Z", true),
        // What says when it ends and is no time.
        (Kind::EDirectory, "loginExpirationTime", "some day", false),
        (Kind::OpenLdap, "shadowExpire", "-1", true),
        (Kind::OpenLdap, "shadowExpire", "20512", false),
        (Kind::OpenLdap, "shadowExpire", "20514", true),
    ];
    for (kind, name, value, active) in table {
        let schema = schema(*kind);
        let binary = matches!(kind, Kind::ActiveDirectory | Kind::EDirectory);
        let id: &[u8] = if binary { GUID } else { b"326d895c-7a8c-1041-941c-e39067ca22d1" };
        let mut attributes = vec![(kind.id(), id), (*name, value.as_bytes())];
        if *kind == Kind::ActiveDirectory && *name != "userAccountControl" {
            attributes.push(("userAccountControl", b"512"));
        }
        let person = schema.person(&entry("cn=x", &attributes), now()).unwrap();
        assert_eq!(person.active, *active, "{name}: {value}");
    }
}

#[test]
fn an_attribute_of_the_operators_own_says_who_is_disabled() {
    let active = |values: &[&str], value: Option<&str>| {
        let mut config = Config::new(vec!["ldaps://x".parse().unwrap()], "dc=ex,dc=test".parse::<Base>().unwrap());
        config.attributes.disabled = Some("employeeType".to_owned());
        config.attributes.disabled_values = values.iter().map(|&value| value.to_owned()).collect();
        let schema = Schema::of(&config, Kind::Other);
        assert!(schema.person_attributes().contains(&"employeeType".to_owned()));
        let mut attributes: Vec<(&str, &[u8])> = vec![("entryUUID", b"326d895c-7a8c-1041-941c-e39067ca22d1")];
        attributes.extend(value.map(|value| ("employeetype", value.as_bytes())));
        schema.person(&entry("cn=x", &attributes), now()).unwrap().active
    };
    let gone = ["terminated", "on leave"];
    assert!(active(&gone, None) && active(&gone, Some("staff")));
    assert!(!active(&gone, Some("Terminated ")) && !active(&gone, Some("on leave")));
    assert!(active(&[], None) && !active(&[], Some("anything")));
}

#[test]
fn the_user_name_is_the_value_that_names_the_entry_and_a_second_value_renames_nobody() {
    let openldap = schema(Kind::OpenLdap);
    let id = ("entryUUID", b"326d895c-7a8c-1041-941c-e39067ca22d1".to_vec());
    let person = |dn: &str, uids: &[&str]| {
        let uids = uids.iter().map(|uid| uid.as_bytes().to_vec()).collect();
        let attributes = vec![(id.0.to_lowercase(), vec![id.1.clone()]), ("uid".to_owned(), uids)];
        openldap.person(&Entry { dn: dn.to_owned(), attributes }, now()).unwrap()
    };
    let name = |dn: &str, uids: &[&str]| person(dn, uids).username;
    for dn in [
        "uid=zoe,ou=people,dc=ex",
        "UID = zoe+cn=a,dc=ex",
        "cn=a+userid=zoe,dc=ex",
        "0.9.2342.19200300.100.1.1=zoe,dc=ex",
    ] {
        assert_eq!(name(dn, &["ada", "zoe", "bob"]).as_deref(), Some("zoe"), "{dn}");
    }
    assert_eq!(name("uid=a\\,b,dc=ex", &["a", "a,b"]).as_deref(), Some("a,b"));
    assert_eq!(name("cn=zoe,dc=ex", &["zoe", "ada"]).as_deref(), Some("ada"), "that is no user name");
    let kept = |dn: &str, uids: &[&str], said: &str| {
        let mut person = person(dn, uids);
        person.keep_name(&openldap, |name| name == said);
        person.username
    };
    assert_eq!(kept("cn=x,dc=ex", &["zoe", "ada"], "zoe").as_deref(), Some("zoe"), "said before");
    assert_eq!(kept("cn=x,dc=ex", &["zoe", "ada"], "gone").as_deref(), Some("ada"));
    assert_eq!(kept("uid=ada,dc=ex", &["zoe", "ada"], "zoe").as_deref(), Some("ada"), "the name of the entry first");
}

#[test]
fn empty_members_and_bit_strings_are_left_out_and_garbage_is_kept_to_be_shown() {
    let openldap = schema(Kind::OpenLdap);
    let mut group = entry(
        "cn=g,dc=ex",
        &[("entryUUID", b"326D895C-7a8c-1041-941c-e39067ca22d1"), ("uniqueMember", b"cn=a#'0101'B")],
    );
    group
        .attributes
        .push(("member".into(), vec![b"".to_vec(), b" ".to_vec(), b"nobody".to_vec(), b"CN=G, DC=ex".to_vec()]));
    let read = openldap.group(&group).unwrap();
    assert_eq!(read.id.as_str(), "326d895c-7a8c-1041-941c-e39067ca22d1");
    // The group itself, in another spelling: whom it means is not ours to say.
    let itself = Listed::Dn("CN=G,DC=ex".parse().unwrap());
    assert_eq!(read.members, [itself, Listed::Dn("cn=a".parse().unwrap()), Listed::Garbage("nobody".into())]);
}

#[test]
fn an_entry_is_announced_for_every_attribute_that_a_read_or_a_filter_looks_at() {
    let base: Base = "dc=ex,dc=test".parse().unwrap();
    let mut config = Config::new(vec!["ldaps://x".parse().unwrap()], base);
    config.people_filter =
        Some("(&(objectClass=user)(!(department=Sales))(|(l=*)(telephoneNumber>=1)))".parse().unwrap());
    config.members = Some(500);
    let names = Schema::of(&config, Kind::ActiveDirectory).announcing_attributes();
    for name in ["objectguid", "member", "name", "isdeleted", "department", "l", "telephonenumber", "primarygroupid"] {
        assert!(names.iter().any(|known| known == name), "no {name} in {names:?}");
    }
    assert!(names.iter().all(|name| !name.contains(';')), "{names:?}");
}
