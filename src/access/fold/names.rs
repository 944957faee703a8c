//! What users are called. A name stays with whoever had it first; it passes to somebody else by a command alone, and whoever
//! had it then is called otherwise.

use rollcall_events::{
    body,
    names::{MAX_NAME, user_name, user_name_of_id},
};

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Field, NONE, NameNotInEffect},
        handles::UserIx,
    },
};

/// The rule by which a source moves a name between two of its people.
pub(crate) const NAME_MOVED: &str = "moved";
/// Up to which number namesakes of one source are told apart by one: what a person reads and types.
pub(crate) const MOST_NUMBERED: u64 = 99;
/// How many exchange their names at once, at most. It is looked for anew at each event.
const MOST_EXCHANGED: usize = 256;

impl Roster {
    /// Gives a person the user name that it asks for, or the nearest that is free; where it asks for one that nobody can
    /// have, the person's id. What is not in effect is kept with its reason. The old name stays reserved.
    pub(super) fn name_person(&mut self, cx: &mut FoldContext<'_>, person: u32, asked: Option<&str>) {
        let (wanted, unusable) = self.name_asked_for(person, asked);
        match self.facts.given_names.get(&person).copied() {
            Some(given) if unusable.is_none() && self.facts.user_names.id(given) == wanted => {
                self.facts.given_names.remove(&person);
                self.set_name_not_in_effect(person, None);
            }
            Some(_) => {
                let why = unusable.unwrap_or(NameNotInEffect::Overruled(wanted));
                self.set_name_not_in_effect(person, Some(why));
            }
            None => self.take_name(cx, person, &wanted, unusable),
        }
    }

    /// The name that a person would have by what its source says, and why it is not the one that the source gave.
    fn name_asked_for(&self, person: u32, asked: Option<&str>) -> (String, Option<NameNotInEffect>) {
        let id = || user_name_of_id(self.facts.persons.id(person));
        match asked.map(|asked| (asked, user_name(asked))) {
            None => (id(), None),
            Some((_, Ok(name))) => (name, None),
            Some((asked, Err(why))) => {
                let shown = asked.get(..asked.floor_char_boundary(MAX_NAME)).unwrap_or_default().to_owned();
                (id(), Some(NameNotInEffect::Unusable(shown, why)))
            }
        }
    }

    /// Notes the name that an event asked for and that is not the person's: by what is known now, or by then, it may have been.
    pub(super) fn mention_name(&mut self, effect: &Effect, person: u32, asked: Option<&str>) {
        if !matches!(effect, Effect::Applied | Effect::Superseded) {
            return;
        }
        let wanted = self.name_asked_for(person, asked).0;
        let called = self.facts.persons.get(person).map(|row| row.name).filter(|name| *name != NONE);
        if called.is_some_and(|name| self.facts.user_names.id(name) == wanted) {
            return;
        }
        let name = self.intern_user_name(&wanted);
        self.mention(Field::PersonName, person, name);
    }

    /// Takes a name, or the nearest that is free.
    fn take_name(&mut self, cx: &mut FoldContext<'_>, person: u32, wanted: &str, unusable: Option<NameNotInEffect>) {
        let id = user_name_of_id(self.facts.persons.id(person));
        let source = self.source_text(self.facts.persons.names.space(person));
        // A collision gets `name~source`; should that be taken too, the smallest number tells them apart, where there are
        // too many the person's id, at last both.
        let candidate = |n: u64| match n {
            0 => wanted.to_owned(),
            1 => format!("{wanted}~{source}"),
            2..=MOST_NUMBERED => format!("{wanted}~{source}~{n}"),
            n if n == MOST_NUMBERED + 1 => format!("{wanted}~{source}~{id}"),
            n => format!("{wanted}~{source}~{id}~{n}"),
        };
        let free = |name: &String| {
            let owner = self.facts.user_names.find(0, name).and_then(|ix| self.facts.user_names.get(ix));
            owner.is_none_or(|owner| *owner == person || *owner == NONE)
        };
        let Some(name) = (0..).map(candidate).find(free) else { return };
        let taken = || (name != wanted).then(|| self.facts.user_names.find(0, wanted)).flatten();
        let why = unusable.or_else(|| taken().map(NameNotInEffect::Taken));
        self.set_name_not_in_effect(person, why);
        let ix = self.intern_user_name(&name);
        if let Some(owner) = self.facts.user_names.get_mut(ix) {
            *owner = person;
        }
        self.call(cx, person, ix);
    }

    /// Why the name that a source asks for is not in effect, or that it is.
    fn set_name_not_in_effect(&mut self, person: u32, why: Option<NameNotInEffect>) {
        let after = why.as_ref().map(|why| self.facts.asked_key(person, why));
        let before = match why {
            Some(why) => self.facts.names_not_in_effect.insert(person, why),
            None => self.facts.names_not_in_effect.remove(&person),
        };
        if let Some(before) = before {
            self.index.asked_names.remove(&self.facts.asked_key(person, &before));
        }
        if let Some(after) = after {
            self.index.asked_names.insert(after, ());
        }
    }

    /// The row of a name. A new one is nobody's.
    fn intern_user_name(&mut self, name: &str) -> u32 {
        let known = self.facts.user_names.len();
        let ix = self.facts.user_names.intern(0, name);
        if ix >= known {
            self.index.look_alikes.add(ix, name);
            if let Some(owner) = self.facts.user_names.get_mut(ix) {
                *owner = NONE;
            }
        }
        ix
    }

    /// A person is called by a name that is its own.
    fn call(&mut self, cx: &mut FoldContext<'_>, person: u32, name: u32) {
        let Some(row) = self.facts.persons.get_mut(person) else { return };
        let before = std::mem::replace(&mut row.name, name);
        if before != name {
            self.facts.note_former(Field::PersonName, person, before, cx.position());
        }
    }

    /// What the user of a person is called.
    pub(super) fn called(&self, person: u32) -> String {
        self.user_name(UserIx(self.user_of(person))).to_owned()
    }

    /// Says what the user of a person is called, where that is something else than `before`. Of several persons' names it has the
    /// one that somebody said, or gave to one of them; else that of a person who is called as its source asks, of an authoritative source before
    /// others, of the oldest of these. Whatever ends later changes nothing of that.
    pub(super) fn name_user(&mut self, cx: &mut FoldContext<'_>, person: u32, before: &str) {
        let user = self.user_of(person);
        let facts = &self.facts;
        let rank = |person: &&u32| {
            let (is_given, is_other) =
                (facts.given_names.contains_key(*person), facts.names_not_in_effect.contains_key(*person));
            (!facts.named_after.contains_key(*person), !is_given, is_other, !self.is_authoritative(**person))
        };
        match self.index.linked.get(&user).and_then(|set| set.iter().min_by_key(rank)).copied() {
            Some(first) if first != user => self.facts.called_as.insert(user, first),
            Some(_) | None => self.facts.called_as.remove(&user),
        };
        if self.user_name(UserIx(user)) != before {
            self.emit_user(cx, user);
        }
    }

    /// Who had a name until now, noted as one who had it.
    fn take_from_holder(&mut self, name: u32, next: u32) -> Option<u32> {
        let owner = std::mem::replace(self.facts.user_names.get_mut(name)?, next);
        self.facts.name_holders.update(name, |holders| {
            if owner == NONE {
                return None;
            }
            if !holders.contains(&owner) {
                holders.push(owner);
            }
            Some(owner)
        })
    }

    /// The name that a person's source asks for, whether it is in effect or not; none where nobody can have it.
    pub(crate) fn wanted_name(&self, person: u32) -> Option<&str> {
        let called = || self.facts.persons.get(person).map(|row| self.facts.user_names.id(row.name));
        match self.facts.names_not_in_effect.get(&person) {
            Some(NameNotInEffect::Taken(asked)) => Some(self.facts.user_names.id(*asked)),
            Some(NameNotInEffect::Overruled(asked)) => Some(asked),
            Some(NameNotInEffect::Unusable(..)) => None,
            None => called(),
        }
    }

    /// Those who exchange their names with a person, beginning with it: each asks for a name that is kept for the next, the last
    /// for one that is kept for the first, and all are there and of one source, which so says itself whose each name is.
    /// Nobody where they are not.
    pub(crate) fn exchange(&self, person: u32) -> Vec<u32> {
        let space = |person: u32| self.facts.persons.names.space(person);
        let mut ring = vec![person];
        let mut last = person;
        loop {
            let next = match self.facts.names_not_in_effect.get(&last) {
                Some(NameNotInEffect::Taken(name)) if self.facts.is_live(last) => {
                    let holder = self.facts.user_names.get(*name).copied().filter(|holder| *holder != NONE);
                    // Who is called so still has to be called otherwise first.
                    holder.filter(|one| self.facts.persons.get(*one).is_some_and(|row| row.name != *name))
                }
                Some(_) | None => None,
            };
            match next {
                Some(next) if space(next) != space(last) || self.user_of(next) == self.user_of(last) => break,
                Some(next) if next == person => return ring,
                Some(next) if ring.len() < MOST_EXCHANGED && !ring.contains(&next) => {
                    ring.push(next);
                    last = next;
                }
                Some(_) | None => break,
            }
        }
        Vec::new()
    }

    /// Those who have their names by this event, as they exchange them: all at once, as each waits for the next.
    pub(crate) fn exchange_by(&self, data: &body::UserName) -> Vec<u32> {
        let person = self.person_of(data.user.as_str()).filter(|_| data.rule.as_deref() == Some(NAME_MOVED));
        let asks = |person: &u32| self.wanted_name(*person) == Some(data.username.as_str());
        person.filter(asks).map(|person| self.exchange(person)).unwrap_or_default()
    }

    fn exchange_names(&mut self, cx: &mut FoldContext<'_>, ring: &[u32]) -> Effect {
        for person in ring {
            let Some(NameNotInEffect::Taken(name)) = self.facts.names_not_in_effect.get(person).cloned() else {
                continue;
            };
            let before = self.called(*person);
            self.take_from_holder(name, *person);
            self.set_name_not_in_effect(*person, None);
            self.call(cx, *person, name);
            self.name_user(cx, *person, &before);
        }
        cx.applied("username")
    }

    /// Of a user's persons the one that has a name which the user is given: whose it is or was, so that it passes from none of them
    /// to another; else who asks for it; else the one that is named.
    fn receiver(&self, person: u32, name: u32) -> u32 {
        let (user, wanted) = (self.user_of(person), self.facts.user_names.id(name));
        let owner = self.facts.user_names.get(name).copied().filter(|owner| *owner != NONE);
        let asks = || {
            let persons = self.persons_of(UserIx(user)).iter().copied();
            persons.filter(|one| self.facts.is_live(*one)).find(|one| self.wanted_name(*one) == Some(wanted))
        };
        owner.filter(|owner| self.user_of(*owner) == user).or_else(asks).unwrap_or(person)
    }

    /// Somebody says that a user of several persons is called as this one of them is. Whether that is new.
    fn name_after(&mut self, person: u32) -> bool {
        let Some(persons) = self.index.linked.get(&self.user_of(person)).cloned() else { return false };
        let others = persons.into_iter().filter(|one| *one != person);
        let was_other = others.filter(|one| self.facts.named_after.remove(one).is_some()).count() > 0;
        self.facts.named_after.insert(person, ()).is_none() || was_other
    }

    /// A user is called so from now on; whoever was called so takes the name that its source asks for, or the nearest.
    pub(super) fn give_name(&mut self, cx: &mut FoldContext<'_>, data: &body::UserName) -> Effect {
        let Some(person) = self.person_of(data.user.as_str()) else {
            return Effect::Refused(format!("there is no user `{}`", data.user));
        };
        let ring = self.exchange_by(data);
        if !ring.is_empty() {
            return self.exchange_names(cx, &ring);
        }
        let name = self.intern_user_name(&data.username);
        let person = self.receiver(person, name);
        let before = self.called(person);
        let is_new = data.rule.is_none() && self.name_after(person);
        let called = self.facts.persons.get(person).map_or(NONE, |row| row.name);
        if called == name && self.facts.user_names.get(name) == Some(&person) {
            if !is_new {
                return Effect::NoChange;
            }
            // A command was about it.
            self.facts.name_holders.update(name, |_| ());
            self.name_user(cx, person, &before);
            return cx.applied("username");
        }
        let asked = self.wanted_name(person).map(str::to_owned);
        let holder = self.take_from_holder(name, person).filter(|holder| *holder != person);
        // Whoever has to leave it is told first, so that no two are ever called the same.
        if let Some(holder) =
            holder.filter(|holder| self.facts.persons.get(*holder).is_some_and(|row| row.name == name))
        {
            let unusable = self.facts.names_not_in_effect.get(&holder);
            let unusable = unusable.filter(|why| matches!(why, NameNotInEffect::Unusable(..))).cloned();
            let id = || user_name_of_id(self.facts.persons.id(holder));
            let wanted = self.wanted_name(holder).map_or_else(id, str::to_owned);
            let before = self.called(holder);
            self.facts.given_names.remove(&holder);
            self.take_name(cx, holder, &wanted, unusable);
            self.name_user(cx, holder, &before);
        }
        match asked {
            Some(asked) if asked == data.username => {
                self.facts.given_names.remove(&person);
                self.set_name_not_in_effect(person, None);
            }
            asked => {
                self.facts.given_names.insert(person, name);
                if let Some(asked) = asked {
                    self.set_name_not_in_effect(person, Some(NameNotInEffect::Overruled(asked)));
                }
            }
        }
        self.call(cx, person, name);
        self.name_user(cx, person, &before);
        cx.applied("username")
    }

    /// A name is kept for nobody any more.
    pub(super) fn free_name(&mut self, cx: &mut FoldContext<'_>, data: &body::UserNameRef) -> Effect {
        let Some(name) = self.facts.user_names.find(0, &data.username) else {
            return Effect::Refused(format!("nobody is or was called `{}`", data.username));
        };
        let owner = self.facts.user_names.get(name).copied().unwrap_or(NONE);
        if owner == NONE || self.facts.persons.get(owner).is_some_and(|row| row.name == name) {
            return Effect::NoChange;
        }
        self.take_from_holder(name, NONE);
        cx.applied("username")
    }
}
