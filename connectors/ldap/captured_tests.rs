//! Answers as a real OpenLDAP 2.5 and a Samba 4.17 sent them (`testdata/*.ber`), read with everything that reads answers.

use chrono::DateTime;

use crate::{
    config::{Base, Config},
    schema::{
        model::{Listed, Schema, uuid_text},
        server::{Kind, RootDse},
    },
    wire::{
        ber::{Reader, SEQUENCE},
        dirsync,
        message::{Control, Entry, Message, PAGED, Reply, page_cookie},
        syncrepl::{Change, Info, SYNC, State},
    },
};

const ROOT: &[u8] = include_bytes!("testdata/openldap-root.ber");
const PAGE: &[u8] = include_bytes!("testdata/openldap-page.ber");
const SYNCED: &[u8] = include_bytes!("testdata/openldap-sync.ber");
const POLLED: &[u8] = include_bytes!("testdata/samba-dirsync.ber");

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some((tag, content)) = reader.any().unwrap() {
        assert_eq!(tag, SEQUENCE);
        all.push(Message::decode(content).unwrap());
    }
    all
}

fn entries(bytes: &[u8]) -> Vec<(Entry, Vec<Control>)> {
    let all = messages(bytes).into_iter().filter_map(|message| match message.reply {
        Reply::Entry(entry) => Some((entry, message.controls)),
        _ => None,
    });
    all.collect()
}

fn config() -> Config {
    let base: Base = "dc=ex,dc=test".parse().unwrap();
    Config::new(vec!["ldaps://x".parse().unwrap()], base)
}

fn schema() -> Schema {
    Schema::of(&config(), Kind::OpenLdap)
}

#[test]
fn a_root_entry_says_what_the_server_is() {
    let root = RootDse::of(&entries(ROOT)[0].0);
    assert_eq!(root.kind, Kind::OpenLdap);
    assert!(root.pages() && root.knows(SYNC));
    assert_eq!(root.context_of(&"uid=ada,DC=EX,dc=test".parse().unwrap()), Some("dc=ex,dc=test"));
}

#[test]
fn a_page_is_a_person_a_group_and_a_cookie() {
    let entries = entries(PAGE);
    let person = schema().person(&entries[0].0, DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(person.username.as_deref(), Some("ada"), "the one that the entry is named by");
    assert_eq!(person.uids, ["ada", "Ada.Lovelace"]);
    assert_eq!(person.names.unwrap().name.as_deref(), Some("Ada Lovelace"));
    assert!(person.active && person.id.as_str().len() == 36);
    let group = schema().group(&entries[1].0).unwrap();
    assert_eq!(group.members.len(), 2);
    assert!(group.members.contains(&Listed::Dn(person.dn)));
    let cookies: Vec<Vec<u8>> = messages(PAGE)
        .iter()
        .flat_map(|message| &message.controls)
        .filter(|control| control.oid == PAGED)
        .map(|control| page_cookie(control.value.as_deref().unwrap()).unwrap())
        .collect();
    assert!(cookies.last().unwrap().is_empty());
}

#[test]
fn a_refresh_states_entries_and_ends_with_a_cookie() {
    let entries = entries(SYNCED);
    let state = State::of(&entries[0].1).unwrap();
    assert_eq!(state.change, Change::Add);
    assert_eq!(Some(uuid_text(&state.uuid).as_str()), entries[0].0.text("entryUUID"));
    let infos: Vec<Info> = messages(SYNCED)
        .iter()
        .filter_map(|message| match &message.reply {
            Reply::Intermediate(name, value) => Info::of(name.as_deref(), value.as_deref()).unwrap(),
            _ => None,
        })
        .collect();
    let [Info::Deletes { cookie: Some(cookie), done: true } | Info::Presents { cookie: Some(cookie), done: true }] =
        infos.as_slice()
    else {
        panic!("{infos:?}")
    };
    assert!(cookie.starts_with(b"rid="), "{}", String::from_utf8_lossy(cookie));
}

#[test]
fn what_changed_is_a_tombstone_a_folder_of_another_name_a_group_and_a_cookie() {
    let announced: Vec<(dirsync::Announced, String)> =
        entries(POLLED).into_iter().map(|(entry, _)| (dirsync::Announced::of(&entry), entry.dn)).collect();
    use dirsync::Announced as C;
    let [(C::Deleted, tombstone), (C::Container, folder), (C::Changed, group)] = announced.as_slice() else {
        panic!("{announced:?}")
    };
    assert!(tombstone.contains("CN=Deleted Objects"));
    assert_eq!((folder.as_str(), group.as_str()), ("OU=folk,DC=ex,DC=test", "CN=ops,OU=groups,DC=ex,DC=test"));
    let schema = Schema::of(&config(), Kind::ActiveDirectory);
    let ids: Vec<_> = entries(POLLED).iter().map(|(entry, _)| schema.id_of(entry).unwrap()).collect();
    assert_eq!(ids[0].as_str(), "eb6de267-86db-491d-8e44-89b565629820", "as the tombstone's name has it");
    let reply = messages(POLLED).iter().find_map(|message| dirsync::Reply::of(&message.controls).ok()).unwrap();
    assert!(!reply.more && reply.cookie.starts_with(b"MSDS"), "{reply:?}");
}

#[test]
fn a27_a_capture_that_ends_anywhere_or_has_any_byte_flipped_is_read_or_refused() {
    for capture in [ROOT, PAGE, SYNCED, POLLED] {
        for at in 0..capture.len() {
            let mut flipped = capture.to_vec();
            flipped[at] ^= 0xff;
            for bytes in [&capture[..at], &flipped] {
                let mut reader = Reader::new(bytes);
                while let Ok(Some((_, content))) = reader.any() {
                    let Ok(message) = Message::decode(content) else { break };
                    let _ = State::of(&message.controls);
                    let _ = dirsync::Reply::of(&message.controls);
                    match &message.reply {
                        Reply::Entry(entry) => {
                            let _ = schema().person(entry, DateTime::UNIX_EPOCH);
                            let _ = schema().group(entry);
                            let _ = RootDse::of(entry);
                            let _ = dirsync::Announced::of(entry);
                        }
                        Reply::Intermediate(name, value) => _ = Info::of(name.as_deref(), value.as_deref()),
                        _ => {}
                    }
                }
            }
        }
    }
}
