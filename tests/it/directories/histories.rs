//! Histories of a directory as a property, against a real OpenLDAP server: changes, broken connections, restarts of
//! either side, in every order. In the end the mirrored groups are the directory's, and nothing was ever recorded to be
//! gone that the directory had not taken away. A failure names its seed; `ROLLCALL_SEEDS` says how many are tried.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{
    Body, Position, Recorded,
    body::{Author, Member},
};
use rollcall_ingest::SourceRecords;
use rollcall_ldap::{Config, Mode};
use serde_json::Value;

use crate::{
    directories::read::config,
    support::{
        corp::{Corp, name},
        random::Random,
        server::Server,
        slapd::{BASE, Kind, SYNC, Slapd, trunk},
        wait_for,
        wire::{Act, Wire},
    },
};

/// Where people can be; the last is not read.
const PLACES: [&str; 6] = ["people", "people", "people", "staff", "staff", "away"];
/// Few names, so that they are used again.
const NAMES: usize = 7;

/// An entry by a name that it keeps for ever, `p3` or `g1`: its description, by which a plain search tells it.
type Tag = String;

#[derive(Debug, Clone)]
struct Entry {
    dn: String,
    /// Of a group, the names that it lists.
    members: BTreeSet<String>,
    /// Of a person, whether there is a second value of the user name.
    second: bool,
}

/// What the directory has.
#[derive(Debug, Clone, Default)]
struct Tree {
    entries: BTreeMap<Tag, Entry>,
}

impl Tree {
    fn is_read(dn: &str) -> bool {
        !dn.contains("ou=away,")
    }

    /// Who is in what: a group lists the name of an entry that is there and read.
    fn memberships(&self) -> BTreeSet<(Tag, Tag)> {
        let names: BTreeMap<&str, &Tag> = self.entries.iter().map(|(tag, entry)| (entry.dn.as_str(), tag)).collect();
        let mut all = BTreeSet::new();
        for (tag, entry) in &self.entries {
            for member in entry.members.iter().filter(|dn| Self::is_read(dn)) {
                all.extend(
                    names.get(member.as_str()).filter(|other| **other != tag).map(|m| (tag.clone(), (*m).clone())),
                );
            }
        }
        all
    }

    /// Everybody who is read.
    fn read(&self) -> BTreeSet<Tag> {
        self.entries.iter().filter(|(_, entry)| Self::is_read(&entry.dn)).map(|(tag, _)| tag.clone()).collect()
    }

    /// What the overlay refint does: everywhere a name is another one, or gone.
    fn mend(&mut self, from: &str, to: Option<&str>) {
        for entry in self.entries.values_mut() {
            if entry.members.remove(from) {
                entry.members.extend(to.map(str::to_owned));
            }
        }
    }
}

/// What mirrors a directory: the engine by itself, or the whole product.
trait Mirror {
    fn start(&mut self);
    fn stop(&mut self);
    /// Loses everything beside the log, while it is stopped.
    fn lose(&mut self);
    /// Wants a read soon. False where that is not to be had.
    fn hint(&self) -> bool;
    fn said(&self, after: Position) -> Vec<(Position, Body)>;
    /// Has everything read by a read that begins now, and confirms what is held. False where that may have to be asked
    /// for again.
    fn read(&self) -> bool;
}

impl Mirror for Corp {
    fn start(&mut self) {
        self.start();
    }

    fn stop(&mut self) {
        self.stop();
    }

    fn lose(&mut self) {
        self.store.lose();
    }

    fn hint(&self) -> bool {
        self.hint();
        true
    }

    fn said(&self, after: Position) -> Vec<(Position, Body)> {
        let body = |record: Recorded| (record.position, Body::parse(&record.event.kind, &record.event.data).unwrap());
        self.records(after).into_iter().map(body).collect()
    }

    fn read(&self) -> bool {
        self.read();
        while let Some(plan) = self.block(self.store.held_plan(&name())).unwrap() {
            let _ = self.block(self.runners().apply(&plan.id, plan.removals, Author::operator()));
        }
        true
    }
}

impl Mirror for Server {
    fn start(&mut self) {
        self.go();
    }

    fn stop(&mut self) {
        self.kill();
    }

    fn lose(&mut self) {}

    fn hint(&self) -> bool {
        false
    }

    fn said(&self, after: Position) -> Vec<(Position, Body)> {
        let all = self.pages(&format!("/api/v1/events?source=corp-ldap&after={}&limit=500", after.0));
        let body = |event: &Value| {
            let body = Body::parse(event["type"].as_str().unwrap(), &event["data"].to_string()).unwrap();
            (Position(event["position"].as_u64().unwrap()), body)
        };
        all.iter().map(body).collect()
    }

    /// After some failures the product waits longer for its next try than a test may, so the read is asked for.
    fn read(&self) -> bool {
        let plan = self.post("/api/v1/sources/corp-ldap/plan", &serde_json::json!({})).json();
        if let (Some(id), Some(removals)) = (plan["id"].as_str(), plan["removals"].as_u64()) {
            self.cli(&["apply", id, "--confirm-removals", &removals.to_string()]);
        }
        false
    }
}

/// A directory, what it should have, and its mirror.
struct World {
    slapd: Slapd,
    wire: Wire,
    mirror: Box<dyn Mirror>,
    refint: bool,
    tree: Tree,
    random: Random,
    made: usize,
    /// Ids by tag, of everything that ever was.
    tags: BTreeMap<String, Tag>,
    /// How often the directory took something away: a membership, or an entry (in itself).
    taken: BTreeMap<(Tag, Tag), usize>,
    /// Every membership that there ever was.
    given: BTreeSet<(Tag, Tag)>,
    /// How often that was recorded.
    recorded: BTreeMap<(Tag, Tag), usize>,
    looked: Position,
    steps: Vec<String>,
}

impl World {
    fn new(seed: u64, whole: bool) -> Option<Self> {
        let mut random = Random(seed);
        let refint = random.below(3) > 0;
        let mode = if whole || random.below(3) > 0 { Mode::Auto } else { Mode::Full };
        let ldif = trunk() + &format!("dn: ou=away,{BASE}\nobjectClass: organizationalUnit\nou: away\n\n");
        let session_log = [3, 100][random.below(2)];
        let slapd = Slapd::start(Kind { refint, session_log, ..Kind::default() }, &ldif)?;
        let wire = Wire::to(slapd.port);
        let mut world = Self {
            mirror: if whole { Box::new(product(&wire)) } else { Box::new(engine(&wire, mode)) },
            slapd,
            wire,
            refint,
            tree: Tree::default(),
            random,
            made: 0,
            tags: BTreeMap::new(),
            taken: BTreeMap::new(),
            given: BTreeSet::new(),
            recorded: BTreeMap::new(),
            looked: Position(0),
            steps: vec![format!("refint={refint} {mode:?} session log {session_log}")],
        };
        (0..6).for_each(|_| world.change());
        world.mirror.start();
        Some(world)
    }

    /// A place that nobody has: a uid and where, or a name of a group.
    fn free(&mut self, group: bool) -> Option<String> {
        let n = self.random.below(NAMES);
        let dn = if group {
            format!("cn=c{n},ou=groups,{BASE}")
        } else {
            format!("uid=u{n},ou={},{BASE}", PLACES[self.random.below(PLACES.len())])
        };
        self.tree.entries.values().all(|entry| entry.dn != dn).then_some(dn)
    }

    /// Somebody of a kind, not one of these.
    fn some(&mut self, kind: &str, but: &BTreeSet<Tag>) -> Option<Tag> {
        let all: Vec<&Tag> =
            self.tree.entries.keys().filter(|tag| tag.starts_with(kind) && !but.contains(*tag)).collect();
        if all.is_empty() { None } else { Some(all[self.random.below(all.len())].clone()) }
    }

    /// One change as LDIF, made in `tree` too. Nobody in `touched` has a part in it: what a server mends by itself it
    /// does a moment later.
    fn one(&mut self, touched: &mut BTreeSet<Tag>) -> Option<String> {
        let kind = if self.random.below(3) == 0 { "g" } else { "p" };
        match self.random.below(12) {
            // A second value of the user name, before the first in the alphabet.
            10 | 11 => {
                let tag = self.some("p", touched)?;
                touched.insert(tag.clone());
                let entry = self.tree.entries.get_mut(&tag)?;
                entry.second = !entry.second;
                let verb = if entry.second { "add" } else { "delete" };
                Some(format!("dn: {}\nchangetype: modify\n{verb}: uid\nuid: aa-{tag}\n", entry.dn))
            }
            0..=2 => {
                let dn = self.free(kind == "g")?;
                self.made += 1;
                let tag = format!("{kind}{}", self.made);
                touched.insert(tag.clone());
                let rdn = &dn[dn.find('=')? + 1..dn.find(',')?];
                let (members, text) = if kind == "g" {
                    // Somebody who always stays, so that no group is ever without members.
                    let members: BTreeSet<String> = [SYNC.to_owned()].into();
                    (members, format!("objectClass: groupOfNames\ncn: {rdn}\nmember: {SYNC}\n"))
                } else {
                    (BTreeSet::new(), format!("objectClass: inetOrgPerson\nuid: {rdn}\ncn: {rdn}\nsn: {rdn}\n"))
                };
                let ldif = format!("dn: {dn}\nchangetype: add\ndescription: {tag}\n{text}");
                self.tree.entries.insert(tag, Entry { dn, members, second: false });
                Some(ldif)
            }
            3 => {
                let tag = self.some(kind, touched)?;
                let entry = self.tree.entries.remove(&tag)?;
                touched.insert(tag);
                if self.refint {
                    self.tree.mend(&entry.dn, None);
                }
                Some(format!("dn: {}\nchangetype: delete\n", entry.dn))
            }
            4 | 5 => {
                let to = self.free(kind == "g")?;
                let tag = self.some(kind, touched)?;
                let from = std::mem::replace(&mut self.tree.entries.get_mut(&tag)?.dn, to.clone());
                touched.insert(tag);
                if self.refint {
                    self.tree.mend(&from, Some(&to));
                }
                let (rdn, parent) = to.split_once(',')?;
                Some(format!("dn: {from}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\nnewsuperior: {parent}\n"))
            }
            _ => {
                let group = self.some("g", touched)?;
                touched.insert(group.clone());
                let mut text = format!("dn: {}\nchangetype: modify\n", self.tree.entries[&group].dn);
                for _ in 0..=self.random.below(3) {
                    let kind = if self.random.below(4) == 0 { "g" } else { "p" };
                    let Some(other) = self.some(kind, touched) else { continue };
                    touched.insert(other.clone());
                    let dn = self.tree.entries[&other].dn.clone();
                    let members = &mut self.tree.entries.get_mut(&group)?.members;
                    let verb = if members.remove(&dn) {
                        "delete"
                    } else {
                        members.insert(dn.clone());
                        "add"
                    };
                    text += &format!("{verb}: member\nmember: {dn}\n-\n");
                }
                text.ends_with("-\n").then_some(text)
            }
        }
    }

    /// A few changes in one go.
    fn change(&mut self) {
        let before = self.tree.clone();
        let (mut touched, mut all) = (BTreeSet::new(), Vec::new());
        for _ in 0..=self.random.below(4) {
            let (was, gone) = (self.tree.memberships(), self.tree.read());
            if let Some(ldif) = self.one(&mut touched) {
                all.push(ldif);
            }
            let (now, there) = (self.tree.memberships(), self.tree.read());
            self.given.extend(now.iter().cloned());
            let entries = gone.difference(&there).map(|tag| (tag.clone(), tag.clone()));
            for what in was.difference(&now).cloned().chain(entries) {
                *self.taken.entry(what).or_default() += 1;
            }
        }
        if all.is_empty() {
            self.tree = before;
            return;
        }
        self.note(&all.join("; ").replace('\n', " "));
        self.slapd.change(&all.join("\n"));
        let wanted = (self.tree.memberships(), self.tree.read());
        let same = || {
            let (seen, ids) = self.plain();
            ((seen.memberships(), seen.read()) == wanted).then_some(ids)
        };
        let ids = wait_for("the directory to have mended itself", same);
        self.tags.extend(ids);
    }

    /// The directory as a plain search tells it, and everybody's id.
    fn plain(&self) -> (Tree, BTreeMap<String, Tag>) {
        let (mut tree, mut ids) = (Tree::default(), BTreeMap::new());
        for entry in self.slapd.dump(&["description", "entryUUID", "member"]).split("\n\n") {
            let values = |key: &str| -> Vec<String> {
                let lines = entry.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
                lines.map(str::to_owned).collect()
            };
            if let (Some(dn), Some(tag), Some(id)) =
                (values("dn").pop(), values("description").pop(), values("entryUUID").pop())
            {
                let members = values("member").into_iter().collect();
                tree.entries.insert(tag.clone(), Entry { dn, members, second: false });
                ids.insert(id, tag);
            }
        }
        (tree, ids)
    }

    fn note(&mut self, step: &str) {
        self.steps.push(step.to_owned());
    }

    /// Whatever was recorded to be gone had been taken away, and whatever was recorded to be given had been given.
    fn check(&mut self) {
        for (position, body) in self.mirror.said(self.looked) {
            self.looked = position;
            let tag = |id: &rollcall_events::Id| self.tags.get(id.as_str()).cloned();
            let gone = match &body {
                Body::PersonUpserted(person) => {
                    let second = person.username.as_ref().is_some_and(|name| name.starts_with("aa-"));
                    assert!(!second, "{position} {body:?}: a second value renamed somebody");
                    continue;
                }
                Body::PersonRemoved(gone) => tag(&gone.person).map(|tag| (tag.clone(), tag)),
                Body::GroupRemoved(gone) => tag(&gone.group).map(|tag| (tag.clone(), tag)),
                Body::GroupMemberRemoved(gone) => {
                    let (Member::Person(id) | Member::Group(id)) = &gone.member else { panic!("{gone:?}") };
                    // The account that reads is in every group and has no tag: it leaves with the group.
                    tag(&gone.group).map(|group| (group.clone(), tag(id).unwrap_or(group)))
                }
                Body::GroupMemberAdded(fact) => {
                    let (Member::Person(id) | Member::Group(id)) = &fact.member else { panic!("{fact:?}") };
                    if let Some(membership) = tag(&fact.group).zip(tag(id)) {
                        let given = self.given.contains(&membership);
                        assert!(given, "{} {membership:?} was given, and the directory never said so", position);
                    }
                    continue;
                }
                _ => continue,
            };
            let gone = gone.unwrap_or_else(|| panic!("{body:?} of somebody unknown"));
            let member = matches!(body, Body::GroupMemberRemoved(_));
            if member && gone.0 == gone.1 {
                assert!(self.taken.contains_key(&gone), "{} {body:?}: the group is there", position);
                continue;
            }
            let times = self.recorded.entry(gone.clone()).or_default();
            *times += 1;
            let taken = self.taken.get(&gone).copied().unwrap_or_default();
            assert!(*times <= taken, "{} {gone:?} ended {times} times, and was taken {taken} times", position);
        }
    }

    /// The mirrored memberships and entries, by tag.
    fn mirrored(&self) -> (BTreeSet<(Tag, Tag)>, BTreeSet<Tag>) {
        let (mut members, mut entries) = (BTreeSet::new(), BTreeSet::new());
        let mut stands = BTreeMap::new();
        for (_, body) in self.mirror.said(Position(0)).iter().filter(|(_, body)| body.emitter().is_for_connectors()) {
            stands.insert(body.subject(), !body.is_removal());
        }
        for subject in stands.into_iter().filter(|(_, stands)| *stands).map(|(subject, _)| subject) {
            let parts: Vec<&str> = subject.split('/').collect();
            let tag = |id: &str| self.tags.get(id).cloned();
            match parts.as_slice() {
                ["member", group, _, member] => members.extend(tag(group).zip(tag(member))),
                [_, id] => entries.extend(tag(id)),
                other => panic!("{other:?}"),
            }
        }
        (members, entries)
    }

    /// Everything is well again, and read: now the mirror is the directory.
    fn settle(&mut self) {
        self.note("settle");
        self.wire.pass();
        self.wire.cut();
        if !self.mirror.read() {
            let (tree, _) = self.plain();
            let wanted = (tree.memberships(), tree.read());
            wait_for("the mirror", || {
                let there = self.mirrored() == wanted;
                if !there {
                    let _ = self.mirror.read();
                }
                there.then_some(())
            });
        }
        self.check();
        let (tree, _) = self.plain();
        let (members, entries) = self.mirrored();
        let (mut missing, mut more) = (tree.memberships(), members.clone());
        more.retain(|membership| !missing.remove(membership));
        assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, too many {more:?}");
        assert_eq!(entries, tree.read());
        // From here on what ends must be taken away anew.
        self.taken.clear();
        self.recorded.clear();
    }

    fn step(&mut self) {
        match self.random.below(21) {
            0..=6 => self.change(),
            7 => {
                self.note("cut");
                self.wire.cut();
            }
            8 => {
                self.note("down");
                self.wire.look(|_, _, _| Act::Cut);
                self.wire.cut();
            }
            9 => {
                let most = self.random.below(25);
                self.note(&format!("each connection is cut after {most}"));
                self.wire.look(move |_, count, _| if count >= most { Act::Cut } else { Act::Pass });
            }
            10 => {
                self.note("stall");
                self.wire.look(|_, _, _| Act::Hold);
            }
            11 | 12 => {
                self.note("up");
                self.wire.pass();
            }
            13 => {
                self.note("the directory restarts");
                self.slapd.restart();
            }
            14 => {
                let loses = self.random.below(3) == 0;
                self.note(if loses { "we restart and have lost our stores" } else { "we restart" });
                self.mirror.stop();
                if loses {
                    self.mirror.lose();
                }
                self.mirror.start();
            }
            15 => {
                self.note("read");
                let _ = self.mirror.hint();
            }
            16 => self.settle(),
            17 => {
                let (first, odd) = (self.wire.connections(), self.random.below(2));
                self.note(&format!("connections lag, {odd} of two"));
                self.wire.look(
                    move |connection, _, _| {
                        if connection < first && connection % 2 == odd { Act::Hold } else { Act::Pass }
                    },
                );
            }
            _ => self.between(),
        }
        self.check();
    }

    /// A change in the middle of a read: at one of its messages, or while one of the streams is held back.
    fn between(&mut self) {
        let (first, at) = (self.wire.connections(), self.random.below(30));
        let late = self.random.below(3) == 0;
        self.note(&format!("{} is held at {at}", if late { "every old connection" } else { "a new connection" }));
        self.wire.look(move |connection, count, _| {
            let held =
                if late { connection < first && connection % 2 == at % 2 } else { connection >= first && count == at };
            if held { Act::Hold } else { Act::Pass }
        });
        let before = self.mirror.said(Position(0)).last().map_or(Position(0), |(position, _)| *position);
        if !self.mirror.hint() {
            return self.wire.pass();
        }
        // Either it waits, or it is through.
        let ended = |body: &Body| matches!(body, Body::SnapshotSealed(_) | Body::SnapshotAborted(_));
        wait_for("the read", || {
            let through = || self.mirror.said(before).iter().any(|(_, body)| ended(body));
            (!late && self.wire.held() > 0 || through()).then_some(())
        });
        self.change();
        if late {
            let _ = self.mirror.hint();
        }
        self.note("and goes on");
        self.wire.pass();
    }
}

/// The engine by itself.
fn engine(wire: &Wire, mode: Mode) -> Corp {
    let mut config = Config { mode, page: 3, ..config(&wire.url()) };
    config.people.push(format!("ou=staff,{BASE}").parse().unwrap());
    Corp::new(config)
}

/// The whole product, not started yet.
fn product(wire: &Wire) -> Server {
    let server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = [\"ou=people,{BASE}\", \"ou=staff,{BASE}\"]\n\
         groups = \"ou=groups,{BASE}\"\nanswer_timeout = \"1s\"\npage_size = 3\n",
        wire.url()
    ));
    server.dir.write("ldap.secret", "sync\n");
    server
}

/// Whether there was a server to do it with. `most`: how many steps.
fn history(seed: u64, whole: bool, most: usize) -> bool {
    let Some(mut world) = World::new(seed, whole) else { return false };
    let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.settle();
        (0..most).for_each(|_| world.step());
        world.settle();
    }));
    if let Err(failure) = went {
        eprintln!("seed {seed} failed after:\n{}", world.steps.join("\n"));
        for (position, body) in world.mirror.said(Position(0)).iter().rev().take(60).rev() {
            eprintln!("{position} {} {:.150}", body.kind(), body.data());
        }
        eprintln!("{:?}", world.tags);
        std::panic::resume_unwind(failure);
    }
    true
}

#[test]
fn whatever_happens_the_mirror_comes_to_be_the_directory_and_nobody_loses_what_was_not_taken() {
    let count = |text: String| text.parse().unwrap();
    let seeds: u64 = std::env::var("ROLLCALL_SEEDS").map_or(8, count);
    let from: u64 = std::env::var("ROLLCALL_SEED").map_or(1, count);
    for seed in from..from + seeds {
        if !history(seed, false, 30) {
            return;
        }
    }
}

#[test]
fn the_whole_product_mirrors_a_directory_through_faults_and_kills() {
    let seed = std::env::var("ROLLCALL_SEED").map_or(1, |text| text.parse().unwrap());
    history(seed, true, 15);
}
