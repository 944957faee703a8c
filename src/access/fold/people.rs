//! People: which persons are one user. A user never goes away.

use rollcall_events::{
    Position,
    body::{self, SourcePerson},
};

use crate::{
    fold::{
        change::{Change, Effect},
        context::FoldContext,
    },
    roster::{
        Roster,
        facts::{Field, NONE, Owner, Reach, Secret, push_pair},
        handles::UserIx,
        register::Rank,
    },
};

/// The rule by which a source's word links its persons with those of another.
pub(crate) const LINK_STATED: &str = "stated";

impl Roster {
    pub(super) fn upsert_person(&mut self, cx: &mut FoldContext<'_>, data: &body::Person) -> Effect {
        let ix = self.facts.persons.intern(cx.space, data.person.as_str());
        let account = data.account.as_ref().map_or(NONE, |id| self.facts.accounts.intern(cx.space, id.as_str()));
        let rank = if data.active { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.persons.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, rank, "person");
        if effect == Effect::Applied {
            row.active = data.active;
            let new = row.first == Position(0);
            if new {
                row.first = cx.position();
                row.user = ix;
            }
            self.set_reference(Field::PersonAccount, ix, account);
            let before = self.called(ix);
            self.name_person(cx, ix, data.username.as_deref());
            self.name_user(cx, ix, &before);
            self.set_same_as(cx, ix, &data.same_as);
            if new {
                self.emit_person(cx, ix);
                self.relink(cx, ix);
            }
            self.fast_path.update_person(&self.facts, &self.index, ix);
        }
        self.note_mention(&effect, Field::PersonAccount, ix, account);
        self.mention_name(&effect, ix, data.username.as_deref());
        self.mention_same_as(&effect, ix, &data.same_as);
        effect
    }

    pub(super) fn set_permission(&mut self, cx: &mut FoldContext<'_>, person: &str, rank: Rank) -> Effect {
        let ix = self.facts.persons.intern(cx.space, person);
        let effect = self.facts.permissions.update(ix, |register| cx.update(register, rank, "permission"));
        self.fast_path.update_person(&self.facts, &self.index, ix);
        effect
    }

    pub(super) fn emit_user(&self, cx: &mut FoldContext<'_>, user: u32) {
        let name = self.user_name(UserIx(user)).into();
        cx.changes.push(Change::UserNamed { user: self.person_key(user).into(), name });
    }

    pub(crate) fn emit_person(&self, cx: &mut FoldContext<'_>, person: u32) {
        let Some(row) = self.facts.persons.get(person) else { return };
        let names = &self.facts.persons.names;
        if let Ok(source) = self.source_text(names.space(person)).parse() {
            cx.changes.push(Change::PersonIs {
                source,
                person: names.text(person).into(),
                user: self.person_key(row.user).into(),
            });
        }
    }

    /// The row of a person of any source, made where it is new.
    fn intern_source_person(&mut self, person: &SourcePerson) -> u32 {
        let known = self.facts.sources.len();
        let space = self.facts.sources.intern(0, person.source.as_str());
        if space >= known {
            self.know_sources();
        }
        self.facts.persons.intern(u16::try_from(space).unwrap_or(u16::MAX), person.person.as_str())
    }

    /// The persons of other sources that a source names. One that is neither configured nor ever said anything is none for
    /// being named.
    fn intern_same_as(&mut self, same_as: &[SourcePerson]) -> Vec<u32> {
        let known: Vec<&SourcePerson> = same_as.iter().filter(|other| self.is_source(other.source.as_str())).collect();
        known.into_iter().map(|other| self.intern_source_person(other)).collect()
    }

    /// Whom a person is by what its source says: told, and in effect where somebody confirmed that its source may say so. What
    /// it does not say any more is kept: nobody else becomes that person without being asked for.
    fn set_same_as(&mut self, cx: &FoldContext<'_>, person: u32, same_as: &[SourcePerson]) {
        let others = self.intern_same_as(same_as);
        let before = match others.is_empty() {
            true => self.facts.same_as.remove(&person),
            false => self.facts.same_as.insert(person, others.clone()),
        };
        for other in before.into_iter().flatten().filter(|other| !others.contains(other)) {
            self.facts.note_former(Field::PersonSameAs, person, other, cx.position());
        }
        for other in others {
            self.index.said_to_be.update(other, |said| said.insert(person));
        }
    }

    /// Notes whom a superseded event said a person to be: by another order of arrival it would have been said.
    fn mention_same_as(&mut self, effect: &Effect, person: u32, same_as: &[SourcePerson]) {
        if *effect == Effect::Superseded {
            for other in self.intern_same_as(same_as) {
                self.facts.note_mention(Field::PersonSameAs, person, other);
                self.index.said_to_be.update(other, |said| said.insert(person));
            }
        }
    }

    pub(crate) fn set_link(&mut self, cx: &mut FoldContext<'_>, data: &body::Link, rank: Rank) -> Effect {
        let [first, second] = data.persons.each_ref().map(|person| self.intern_source_person(person));
        let (a, b) = (first.min(second), first.max(second));
        let ix = match self.index.link.get(&(a, b)) {
            Some(ix) => *ix,
            None => {
                let ix = push_pair(&mut self.facts.links, a, b);
                self.index.add_link(ix, a, b);
                ix
            }
        };
        // What is parted is known only while it is linked.
        let parting = data.given_since.as_ref().filter(|_| rank != Rank::Full).and_then(|whose| {
            let whose = self.intern_source_person(whose);
            Some((whose, self.parting(&data.persons)?))
        });
        let was_parted = self.facts.is_parting(ix);
        let Some(pair) = self.facts.links.get_mut(ix as usize) else { return Effect::NoChange };
        let is_first = !pair.register.stated();
        let effect = cx.update(&mut pair.register, rank, "link");
        if effect == Effect::Applied {
            if rank == Rank::Full {
                self.facts.excepted_links.remove(&ix);
            } else if is_first {
                self.facts.excepted_links.insert(ix, ());
            }
            if data.rule.as_deref() == Some(LINK_STATED) {
                let names = &self.facts.persons.names;
                self.facts.confirmed_links.insert((names.space(first), names.space(second)));
                self.facts.rule_links.insert(ix, first);
            } else {
                self.facts.rule_links.remove(&ix);
            }
            self.index.partings += usize::from(self.facts.is_parting(ix));
            self.index.partings -= usize::from(was_parted);
            self.relink(cx, a);
            self.relink(cx, b);
            if let Some((whose, (since, sides))) = parting {
                self.keep_secrets(cx, whose, since, &sides);
            }
        }
        effect
    }

    /// What was made since two sides were linked, and could be that of either, or is the other one's for being there alone, is that
    /// of the side that a person is on. What could be somebody else's besides, whom another link joined to them, stays so. What is
    /// over is nobody's: it may be found here still or not.
    fn keep_secrets(&mut self, cx: &FoldContext<'_>, whose: u32, since: Position, sides: &[Vec<u32>; 2]) {
        let (mine, theirs) = match sides {
            [mine, theirs] if mine.contains(&whose) => (mine, theirs),
            [theirs, mine] if mine.contains(&whose) => (mine, theirs),
            _ => return,
        };
        let secrets = sides.iter().flatten().filter_map(|one| self.index.owner_secrets.get(&Owner::Person(*one)));
        let now = cx.now().timestamp_micros();
        let newer = |ix: &u32| self.secret_row(*ix).is_some_and(|row| row.issued > since && !self.is_over(row, now));
        for ix in secrets.flatten().copied().filter(newer).collect::<Vec<u32>>() {
            let Some(row) = self.secret_row(ix) else { continue };
            let could_be = |side: &[u32]| row.made_for.iter().copied().find(|one| side.contains(one));
            let one = match (could_be(mine), could_be(theirs)) {
                (Some(one), Some(_)) => one,
                (None, _) if self.is_theirs_alone(row, theirs) && !self.is_known_to_be(row, theirs, since) => whose,
                _ => continue,
            };
            let Some(row) = self.facts.secrets.get_mut(ix).and_then(Option::as_mut) else { continue };
            let left: Vec<u32> = row.made_for.iter().copied().filter(|one| !theirs.contains(one)).collect();
            row.made_for = if left.len() > 1 { left.into() } else { Box::default() };
            if matches!(row.owner, Owner::Person(owner) if theirs.contains(&owner)) {
                let keeper = Owner::Person(if row.made_for.contains(&whose) { whose } else { one });
                let before = std::mem::replace(&mut row.owner, keeper);
                self.index.owner_secrets.update(before, |all| all.retain(|other| *other != ix));
                self.index.owner_secrets.update(keeper, |all| all.push(ix));
            }
            // Made for itself, by whichever of them.
            if let Some(row) = self.facts.secrets.get_mut(ix).and_then(Option::as_mut)
                && matches!(row.author, Some(Owner::Person(author)) if theirs.contains(&author))
            {
                row.author = Some(row.owner);
            }
        }
    }

    /// Whether a secret could be that of nobody but of some.
    fn is_theirs_alone(&self, row: &Secret, theirs: &[u32]) -> bool {
        matches!(row.owner, Owner::Person(owner) if theirs.contains(&owner))
            && row.made_for.iter().all(|one| theirs.contains(one))
    }

    /// Whether more than who was there says that a secret of some is theirs: a portal made it for people of its sources, or it was
    /// made with a secret that they had before.
    fn is_known_to_be(&self, row: &Secret, theirs: &[u32], since: Position) -> bool {
        let mut row = row;
        loop {
            if row.reach != Reach::Owner {
                return true;
            }
            match self.secret_row(row.made_with).filter(|with| self.is_theirs_alone(with, theirs)) {
                None => return false,
                Some(with) if with.issued <= since => return true,
                // Rows come after the rows that made them.
                Some(with) => row = with,
            }
        }
    }

    /// The persons that links reach from one, of those that were ever stated; `without` one of the links.
    pub(crate) fn reached_from(&self, person: u32, without: Option<u32>) -> Vec<u32> {
        let mut set = vec![person];
        let mut seen = 0;
        while let Some(next) = set.get(seen).copied() {
            seen += 1;
            let links = self.index.person_links.get(&next).into_iter().flatten();
            for ix in links.filter(|ix| Some(**ix) != without) {
                let Some(pair) = self.facts.links.get(*ix as usize).filter(|pair| pair.register.stands()) else {
                    continue;
                };
                let other = if pair.left == next { pair.right } else { pair.left };
                let stated = self.facts.persons.get(other).is_some_and(|row| row.user != NONE);
                if stated && !set.contains(&other) {
                    set.push(other);
                }
            }
        }
        set.sort_by_key(|ix| self.facts.persons.get(*ix).map(|row| row.first));
        set
    }

    /// Works out anew which persons are one user with this one.
    pub(crate) fn relink(&mut self, cx: &mut FoldContext<'_>, person: u32) {
        if self.facts.persons.get(person).is_none_or(|row| row.user == NONE) {
            return;
        }
        let set = self.reached_from(person, None);
        let Some(oldest) = set.first().copied() else { return };
        let (called, mut is_new) = (self.called(oldest), false);
        for member in &set {
            self.facts.called_as.remove(member);
            let Some(row) = self.facts.persons.get_mut(*member) else { continue };
            let before = std::mem::replace(&mut row.user, oldest);
            // The set that it was in is over; a set that was just made of those who stayed behind is not.
            if self.index.linked.get(&before).is_some_and(|set| set.contains(member)) {
                self.index.linked.remove(&before);
            }
            if before != oldest {
                self.emit_person(cx, *member);
            }
            is_new |= before != oldest && *member == oldest;
        }
        if set.len() > 1 {
            self.index.linked.insert(oldest, set.clone());
        }
        self.name_user(cx, oldest, if is_new { "" } else { &called });
        for member in set {
            self.fast_path.update_person(&self.facts, &self.index, member);
        }
    }
}
