//! What the server said of names under which nobody was read. It alone knows which names it takes for one: an answer holds
//! until whoever it names is called otherwise, and what stands for nobody is asked again whenever anybody comes or goes.

use std::collections::BTreeSet;

use rollcall_events::Id;

use super::{DirectoryIndex, Resolved};
use crate::wire::dn::Dn;

/// What the server said of a listed name under which nobody was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupResult {
    /// It is another spelling of this one's name.
    Means(Resolved),
    /// The directory has no such entry.
    Absent,
    /// It is there and not ours: outside the bases, or not what the filters take.
    Outside,
    /// The directory did not say.
    Unresolved(String),
}

/// What was known of names and user names that may stand for somebody else by now.
pub struct DoubtfulLookups {
    names: Vec<usize>,
    uids: Vec<(Box<str>, Option<BTreeSet<Id>>)>,
}

impl DirectoryIndex {
    pub(super) fn forget_lookup(&mut self, number: usize) {
        if let Some(name) = self.names.get_mut(number) {
            name.lookup = None;
        }
        self.looked_up.remove(&number);
        self.update_unknown(number);
    }

    /// Notes what became of a name that was looked up.
    pub fn set_lookup(&mut self, dn: &Dn, lookup: LookupResult) {
        let number = self.number(dn);
        if let LookupResult::Means(resolved) = &lookup {
            self.spellings.entry(resolved.id().clone()).or_default().insert(number);
        }
        if let Some(name) = self.names.get_mut(number) {
            name.lookup = Some(lookup);
        }
        self.looked_up.insert(number);
        self.update_unknown(number);
    }

    /// Notes whom the server finds by a user name.
    pub fn set_uid_lookup(&mut self, uid: &str, people: BTreeSet<Id>) {
        if let Some(user) = self.uids.get_mut(uid) {
            user.lookup = Some(people);
        }
    }

    /// Forgets what was looked up of names: they are looked up again.
    pub fn clear_lookups(&mut self) {
        self.spellings.clear();
        for number in std::mem::take(&mut self.looked_up) {
            self.forget_lookup(number);
        }
        self.clear_uid_lookups();
    }

    fn clear_uid_lookups(&mut self) {
        for uid in &self.asked_uids {
            let _ = self.uids.get_mut(uid).is_some_and(|user| user.lookup.take().is_some());
        }
    }

    /// Forgets what was looked up of names that stand for nobody who was read, and of user names: somebody came, went or is
    /// called otherwise, and which of these the server takes for that name it alone knows.
    pub fn clear_doubtful_lookups(&mut self) -> DoubtfulLookups {
        let unread = |number: &usize| self.names.get(*number).is_some_and(|name| name.means().is_none());
        let names: Vec<usize> = self.looked_up.iter().copied().filter(unread).collect();
        names.iter().for_each(|number| self.forget_lookup(*number));
        let uids = self.asked_uids.iter().filter_map(|uid| Some((uid.clone(), self.uids.get(uid)?.lookup.clone())));
        let uids = uids.collect();
        self.clear_uid_lookups();
        DoubtfulLookups { names, uids }
    }

    /// The groups that list somebody whom the server takes for somebody else since.
    pub fn groups_of_changed_lookups(&self, before: &DoubtfulLookups) -> Vec<Id> {
        let names = before.names.iter().filter_map(|number| self.names.get(*number));
        let names = names.filter(|name| name.means().is_some()).flat_map(|name| &name.listed_in);
        let uids = before.uids.iter().filter_map(|(uid, was)| Some((self.uids.get(uid)?, was)));
        let uids = uids.filter(|(user, was)| user.lookup != **was).flat_map(|(user, _)| &user.listed_in);
        names.chain(uids).cloned().collect()
    }

    /// The names that groups list or people claim, and of which nothing is known yet.
    pub fn unknown(&self) -> Vec<Dn> {
        self.unknown.iter().filter_map(|number| self.names.get(*number)).map(|name| name.dn.clone()).collect()
    }

    /// The user names of which the server has to say whom they mean, and was not asked.
    pub fn unknown_uids(&self) -> Vec<String> {
        let unknown = |uid: &&str| self.uids.get(*uid).is_some_and(|user| user.means().is_none());
        self.asked_uids.iter().map(|uid| &**uid).filter(unknown).map(str::to_owned).collect()
    }

    /// Whether the server has to be asked about anything that groups list or people claim.
    pub fn has_unknown(&self) -> bool {
        !(self.unknown.is_empty() && self.unknown_uids().is_empty())
    }

    /// The same of what groups list.
    pub fn lists_unknown(&self) -> bool {
        let mut names = self.unknown.iter().filter_map(|number| self.names.get(*number));
        names.any(|name| !name.listed_in.is_empty()) || !self.unknown_uids().is_empty()
    }

    /// The other spellings of somebody's name.
    pub fn spellings(&self, id: &Id) -> Vec<Dn> {
        let numbers = self.spellings.get(id).into_iter().flatten();
        numbers.filter_map(|number| self.names.get(*number)).map(|name| name.dn.clone()).collect()
    }
}
