//! Who stays when a source's word does not count any more, and is known to it no more: a directory's password signs in
//! nobody whom it does not know. Whether a source has passwords is not known here.

use chrono::{DateTime, Utc};

use crate::roster::{
    Roster,
    facts::SecretUse,
    handles::{Principal, UserIx},
};

/// A user who is somebody of other sources too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownElsewhere {
    /// What it is called.
    pub name: String,
    /// Its id.
    pub user: String,
    /// The sources that know it still.
    pub sources: Vec<String>,
    /// How many secrets sign it in.
    pub secrets: usize,
}

impl Roster {
    /// The sources that a user is somebody of who counts, each once.
    fn sources_of(&self, user: UserIx) -> Vec<&str> {
        let live = self.persons_of(user).iter().filter(|one| self.facts.is_live(**one));
        let mut all: Vec<&str> = live.map(|one| self.source_text(self.facts.persons.names.space(*one))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many secrets sign a user in, invitations not among them.
    fn secrets_that_sign_in(&self, user: UserIx, now: DateTime<Utc>) -> usize {
        let open = self.open_secrets_of(Principal::User(user), now.timestamp_micros());
        open.filter(|(_, row)| row.usage != SecretUse::Invitation && self.is_of_one_user(row)).count()
    }
}

/// Who can sign in afterwards, and whom a source knows before and not afterwards, by name.
pub(super) fn known_elsewhere(
    before: &Roster,
    after: &Roster,
    source: &str,
    now: DateTime<Utc>,
) -> Vec<KnownElsewhere> {
    let knows = |roster: &Roster, user: UserIx| roster.sources_of(user).contains(&source);
    let users = after.users().filter(|user| knows(before, *user) && !knows(after, *user) && !after.shut_out(*user));
    let mut all: Vec<KnownElsewhere> = users
        .map(|user| KnownElsewhere {
            name: after.user_name(user).to_owned(),
            user: after.user_id(user),
            sources: after.sources_of(user).into_iter().map(str::to_owned).collect(),
            secrets: after.secrets_that_sign_in(user, now),
        })
        .collect();
    all.sort();
    all
}
