//! E-mail addresses that several users have: as names to sign in with they are nobody's. What is told names the people and
//! never the address.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_access::Roster;
use rollcall_authn::Authenticator;
use rollcall_store::ops::{Ops, PersonalRow};

use crate::error::{Error, Result};

/// People who have one address and are several users, each `source/id` with what it is called.
pub(crate) type Sharing = BTreeMap<String, String>;

/// The people of each address that more than one has.
pub(crate) async fn rows(ops: &dyn Ops, after: &str, limit: u32) -> Result<Vec<Vec<PersonalRow>>> {
    let rows = ops.shared_addresses(after, limit).await;
    rows.map_err(|error| Error::unavailable("The addresses of people cannot be read", &error))
}

/// Who of these would sign in with their address, if it were one user's: nobody where it is. `coming`: persons who are not
/// there yet.
pub(crate) fn sharing(
    roster: &Roster,
    authenticator: &Authenticator,
    rows: &[PersonalRow],
    coming: &BTreeSet<String>,
) -> Sharing {
    let (mut users, mut sharing) = (BTreeSet::new(), Sharing::new());
    for PersonalRow { source, person, email, .. } in rows {
        let key = format!("{source}/{person}");
        let user = roster.user_by_id(&key).filter(|user| {
            let all = roster.user(*user).persons;
            let mut this = all.iter().filter(|one| one.source == source && one.person == person);
            this.any(|one| one.active && !one.removed && !one.suspended)
        });
        if (user.is_none() && !coming.contains(&key))
            || !authenticator.takes_address(roster, source, email.as_deref().unwrap_or_default())
        {
            continue;
        }
        users.insert(user.map_or_else(|| key.clone(), |user| roster.user_id(user)));
        sharing.insert(key, user.map_or_else(String::new, |user| roster.user_name(user).to_owned()));
    }
    if users.len() < 2 { Sharing::new() } else { sharing }
}

/// Who they are, in words.
pub(crate) fn who(sharing: &Sharing) -> String {
    let one = |(key, name): (&String, &String)| if name.is_empty() { key.clone() } else { format!("{name} ({key})") };
    sharing.iter().map(one).collect::<Vec<_>>().join(" and ")
}
