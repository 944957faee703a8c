//! Histories of a directory as a property, against a real OpenLDAP server: changes, broken connections, restarts of
//! either side, in every order. In the end the mirrored groups are the directory's, nothing was ever recorded to be gone
//! that the directory had not taken away, and nobody was called as another, or had another's role. A failure names its
//! seed; `ROLLCALL_SEEDS` says how many are tried. In every fourth there is a crowd, of which many go at once.

mod changes;
mod checks;
mod mirror;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{Body, Position};
use rollcall_ldap::Mode;

use self::{
    changes::{Change, add, entry, modify, remove},
    mirror::Mirror,
    tree::{Entry, Membership, Op, Tag, Tree, rdn_value},
};
use crate::support::{
    random::Random,
    slapd::{BASE, Kind, Slapd, trunk},
    wait_for,
    wire::{Act, Wire},
};

/// How many people there are in a large directory.
const CROWD: usize = 120;
/// What goes at once when many are deleted, as the decisions about sources say: fewer than so many, or one in five.
const MEASURE: usize = 20;

/// A directory, what it should have, and its mirror.
struct World {
    slapd: Slapd,
    wire: Wire,
    mirror: Box<dyn Mirror>,
    mode: Mode,
    refint: bool,
    crowd: bool,
    tree: Tree,
    random: Random,
    made: usize,
    /// Ids by tag, of everything that ever was.
    tags: BTreeMap<String, Tag>,
    /// How often the directory took something away: a membership, or an entry (in itself).
    taken: BTreeMap<Membership, usize>,
    /// What everybody was ever called: second values rename nobody.
    called: BTreeMap<Tag, BTreeSet<String>>,
    /// Every membership that there ever was.
    given: BTreeSet<Membership>,
    /// How often that was recorded.
    recorded: BTreeMap<Membership, usize>,
    /// Who was given a role by hand, by id.
    bound: BTreeSet<String>,
    looked: Position,
    steps: Vec<String>,
}

impl World {
    fn new(seed: u64, whole: bool) -> Option<Self> {
        let mut random = Random(seed);
        let crowd = seed.is_multiple_of(4);
        let refint = random.below(3) > 0;
        let mode = if whole || random.below(3) > 0 { Mode::Auto } else { Mode::Full };
        let ldif = trunk() + &format!("dn: ou=away,{BASE}\nobjectClass: organizationalUnit\nou: away\n\n");
        let session_log = [3, 1000][random.below(2)];
        let mut slapd = Slapd::start(Kind { refint, session_log, ..Kind::default() }, &ldif)?;
        if crowd {
            slapd.reconfigure(|conf| conf.replace("size.soft=100 size.hard=300", "size=unlimited"));
        }
        let wire = Wire::to(slapd.port);
        let mut world = Self {
            mirror: if whole { Box::new(mirror::product(&wire)) } else { Box::new(mirror::engine(&wire, mode)) },
            slapd,
            wire,
            mode,
            refint,
            crowd,
            tree: Tree::default(),
            random,
            made: 0,
            tags: BTreeMap::new(),
            taken: BTreeMap::new(),
            called: BTreeMap::new(),
            given: BTreeSet::new(),
            recorded: BTreeMap::new(),
            bound: BTreeSet::new(),
            looked: Position(0),
            steps: vec![format!("refint={refint} {mode:?} session log {session_log} crowd={crowd}")],
        };
        if crowd {
            world.gather();
        }
        (0..6).for_each(|_| world.change());
        world.mirror.start();
        world.mirror.product().into_iter().for_each(checks::prepare);
        Some(world)
    }

    /// Many people, most of them in one group.
    fn gather(&mut self) {
        let mut group = entry(format!("cn=crowd,ou=groups,{BASE}"), true);
        let mut changes = Vec::new();
        for n in 0..CROWD {
            let dn = format!("uid=m{n},ou=people,{BASE}");
            if self.random.below(4) > 0 {
                group.members.insert(dn.clone());
            }
            changes.push(add(&self.new_tag("p"), entry(dn, false)));
        }
        changes.push(add(&self.new_tag("g"), group));
        self.make(changes);
    }

    /// A few changes in one go.
    fn change(&mut self) {
        let (mut touched, mut all) = (BTreeSet::new(), Vec::new());
        let start = self.tree.clone();
        for _ in 0..=self.random.below(4) {
            let next = self.next(&mut touched).unwrap_or_default();
            next.iter().for_each(|(_, op)| self.follow(op));
            all.extend(next);
        }
        if self.refint {
            self.lag(&start, &all);
        }
        self.send(&all);
    }

    /// Two exchange their names, at once or step by step.
    fn swap(&mut self) {
        let Some(changes) = self.exchange() else { return };
        // Where a group lists both, nobody can tell when refint is done with all three.
        let names: Vec<&String> =
            changes.iter().filter_map(|(_, op)| if let Op::Rename(_, to) = op { Some(to) } else { None }).collect();
        let together = self.refint && self.tree.are_listed_together(names[1], names[2]);
        if together || self.random.below(2) == 0 {
            changes.into_iter().for_each(|change| self.make(vec![change]));
            return;
        }
        let start = self.tree.clone();
        changes.iter().for_each(|(_, op)| self.follow(op));
        if self.refint {
            self.lag(&start, &changes);
        }
        self.send(&changes);
    }

    /// Makes changes that have nothing to do with each other.
    fn make(&mut self, changes: Vec<Change>) {
        changes.iter().for_each(|(_, op)| self.follow(op));
        self.send(&changes);
    }

    /// The model goes along.
    fn follow(&mut self, op: &Op) {
        if let Op::Add(tag, Entry { dn, .. }) | Op::Rename(tag, dn) = op {
            self.called.entry(tag.clone()).or_default().insert(rdn_value(dn).to_owned());
        }
        let (was, there, listed) = (self.tree.memberships(), self.tree.read(), self.tree.listed());
        if let Some(mend) = self.tree.apply(op).filter(|_| self.refint) {
            self.tree.mend(&mend);
        }
        let (now, here) = (self.tree.memberships(), self.tree.read());
        let entries = there.difference(&here).map(|tag| (tag.clone(), tag.clone()));
        // Who is listed where nobody is read may be known still, until it is told that they left.
        let all = self.tree.listed();
        let left = all.difference(&now).filter(|listing| !listed.contains(*listing)).cloned();
        for what in was.difference(&now).cloned().chain(entries).chain(left) {
            *self.taken.entry(what).or_default() += 1;
        }
        self.given.extend(all);
    }

    /// While refint lags behind, a list means whoever has come by a name that it has: for that moment they are in it, and
    /// those whom it meant are not.
    fn lag(&mut self, start: &Tree, changes: &[Change]) {
        let ops: Vec<Op> = changes.iter().map(|(_, op)| op.clone()).collect();
        let (mut tree, mut usual) = (start.clone(), start.listed());
        for op in &ops {
            if let Some(mend) = tree.apply(op) {
                tree.mend(&mend);
            }
            usual.extend(tree.listed());
        }
        let lagging: BTreeSet<Membership> = start.lagging(&ops).into_iter().flatten().collect();
        let groups: BTreeSet<Tag> = lagging.difference(&usual).map(|(group, _)| group.clone()).collect();
        for membership in lagging.union(&usual).filter(|(group, _)| groups.contains(group)) {
            *self.taken.entry(membership.clone()).or_default() += ops.len();
        }
        self.given.extend(lagging);
    }

    /// Has the server do it, and waits until it has mended the rest.
    fn send(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let ldif: Vec<&str> = changes.iter().map(|(ldif, _)| ldif.as_str()).collect();
        let shown = ldif.join("; ").replace('\n', " ");
        self.note(&shown.chars().take(3000).collect::<String>());
        self.slapd.change(&ldif.join("\n"));
        let (memberships, read) = (self.tree.memberships(), self.tree.read());
        let ids = wait_for("the directory to have mended itself", || {
            let answered = self.ask();
            (answered.memberships == memberships && answered.read == read).then_some(answered.ids)
        });
        self.tags.extend(ids);
    }

    /// Many go at once, heard or not: more than the measure waits for somebody who says so, and whoever leaves alone, or is
    /// suspended, does not.
    fn mass(&mut self) {
        self.settle();
        let standing = self.standing();
        let id = |tag: &Tag| self.tags.iter().find(|(_, known)| *known == tag).map(|(id, _)| id.clone()).unwrap();
        let of_group = self.random.below(3) == 0;
        let memberships = self.tree.memberships();
        let mut victims: Vec<Membership> = if of_group {
            memberships
                .iter()
                .filter(|(group, member)| self.tree.entries[group].dn.contains("=crowd,") && member.starts_with('p'))
                .cloned()
                .collect()
        } else {
            self.tree.read().into_iter().filter(|tag| tag.starts_with('p')).map(|tag| (tag.clone(), tag)).collect()
        };
        let stood = victims.len() + 1;
        self.random.shuffle(&mut victims);
        victims.truncate(stood * (6 + self.random.below(2)) / 10);
        let at_once = MEASURE.max(stood / 5) + MEASURE;
        // What would be left for a whole read must be a large part of everything that stands.
        if victims.len() < at_once || (victims.len() - at_once) * 5 <= standing.len() {
            return;
        }
        let subjects: BTreeSet<String> = victims
            .iter()
            .map(|(group, member)| match of_group {
                true => format!("member/{}/person/{}", id(group), id(member)),
                false => format!("person/{}", id(member)),
            })
            .collect();
        let changes = victims.iter().map(|(group, member)| {
            let Tree { entries } = &self.tree;
            let dn = &entries[member].dn;
            match of_group {
                true => (modify(&entries[group].dn, "delete", "member", dn), Op::Unlist(group.clone(), dn.clone())),
                false => remove(member, dn),
            }
        });
        let changes: Vec<Change> = changes.collect();
        let unheard = self.random.below(3);
        self.note(["many go", "many go while we are cut off", "many go while we are stopped"][unheard]);
        match unheard {
            1 => {
                self.wire.look(|_, _, _| Act::Cut);
                self.wire.cut();
            }
            2 => self.mirror.stop(),
            _ => {}
        }
        self.make(changes);
        match unheard {
            1 => self.wire.pass(),
            2 => self.mirror.start(),
            _ => {}
        }
        let before = self.looked;
        let most = self.newcomers().intersection(&subjects).count()
            + if unheard > 0 || self.mode == Mode::Full { 0 } else { at_once };
        let gone = |world: &Self| {
            let ended = world
                .mirror
                .said(before)
                .into_iter()
                .filter(|(_, body)| body.is_removal())
                .map(|(_, body)| body.subject());
            let gone: BTreeSet<String> = ended.filter(|subject| subjects.contains(subject)).collect();
            assert!(gone.len() <= most, "{} of {} went at once, of {stood}", gone.len(), subjects.len());
            gone
        };
        if self.mode == Mode::Full {
            let _ = self.mirror.hint();
        }
        wait_for("what is held", || {
            let (gone, held) = (gone(self), self.mirror.held());
            subjects.iter().all(|subject| gone.contains(subject) || held.contains(subject)).then_some(())
        });
        self.check();
        if self.mode == Mode::Auto {
            self.alone(&gone);
        }
        gone(self);
        self.settle();
    }

    /// One who is suspended and one who leaves, while others wait.
    fn alone(&mut self, gone: &dyn Fn(&Self) -> BTreeSet<String>) {
        let mut here: Vec<Tag> = self.tree.read().into_iter().filter(|tag| tag.starts_with('p')).collect();
        self.random.shuffle(&mut here);
        let id = |world: &Self, tag: &Tag| world.tags.iter().find(|(_, known)| *known == tag).unwrap().0.clone();
        let suspended = here.pop().unwrap();
        self.note(&format!("{suspended} is suspended"));
        let (dn, suspended) = (self.tree.entries[&suspended].dn.clone(), id(self, &suspended));
        let expire = "add: shadowExpire\nshadowExpire: 1\n-\n";
        self.slapd.change(&(modify(&dn, "add", "objectClass", "shadowAccount") + expire));
        wait_for("the suspension", || {
            gone(self);
            let said = self.mirror.said(Position(0)).into_iter().rev().find_map(|(_, body)| match body {
                Body::PersonUpserted(one) if one.person.as_str() == suspended => Some(one.active),
                _ => None,
            });
            (said == Some(false)).then_some(())
        });
        let no_class = "delete: objectClass\nobjectClass: shadowAccount\n-\n";
        self.slapd.change(&(modify(&dn, "delete", "shadowExpire", "1") + no_class));
        // Who leaves before a read has seen those that wait may be one of them.
        let goes = here.into_iter().rev().take(3).any(|leaver| {
            let subject = format!("person/{}", id(self, &leaver));
            self.make(vec![remove(&leaver, &self.tree.entries[&leaver].dn)]);
            wait_for("the end of who left alone", || {
                gone(self);
                let went = !self.standing().contains(&subject);
                (went || self.mirror.held().contains(&subject)).then_some(went)
            })
        });
        assert!(goes, "none of three who left one after the other went at once");
    }

    fn note(&mut self, step: &str) {
        self.steps.push(step.to_owned());
    }

    fn step(&mut self) {
        match self.random.below(26) {
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
            18..=20 => self.between(),
            21 | 22 => self.swap(),
            23 if self.crowd => self.mass(),
            _ => self.give_by_hand(),
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

/// The seeds to try: as many as `ROLLCALL_SEEDS` says, from `ROLLCALL_SEED` on.
fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let said = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let from = said("ROLLCALL_SEED", usual.start);
    from..from + said("ROLLCALL_SEEDS", usual.end - usual.start)
}

#[test]
fn whatever_happens_the_mirror_comes_to_be_the_directory_and_nobody_loses_what_was_not_taken() {
    let _ = seeds(1..9).all(|seed| history(seed, false, 30));
}

#[test]
fn through_faults_and_kills_the_whole_product_mirrors_a_directory_and_nobody_has_anothers_name_or_role() {
    let _ = seeds(3..5).all(|seed| history(seed, true, 20));
}
