//! Proves that what says that an account is disabled can be read: where it is hidden, everybody looks in force. As far as a
//! server lets one prove it: by somebody who has it, by a filter that is undefined for what may not be searched, by the
//! rights that the server says, and by an entry that the operator knows to be disabled.

use chrono::{DateTime, Utc};

use crate::{
    client::Session,
    config::Config,
    schema::server::Kind,
    sync::read::{ReadError, search_below},
    wire::{
        fault::Fault,
        filter::Filter,
        message::{Control, Entry, Scope, Search},
        search,
    },
};

/// Effective rights (draft-ietf-ldapext-acl-model): 389 Directory Server and its kin.
const EFFECTIVE_RIGHTS: &str = "1.3.6.1.4.1.42.2.27.9.5.2";

/// Why accounts could look in force that are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// The attribute may not be read of this entry.
    Attribute(String, String),
    /// The entry that is known to be disabled does not look so.
    Probe(String, &'static str),
}

impl Hidden {
    /// For the operator: what is wrong, and what to do.
    pub fn text(&self, session: &Session, config: &Config) -> String {
        let account = config.bind.account();
        match self {
            Self::Attribute(name, of) => {
                let aci = format!(
                    "add to {} `aci: (targetattr=\"{name}\")(version 3.0; acl \"rollcall\"; allow (read, search, compare) userdn=\"ldap:///{account}\";)`",
                    config.people.first().map_or("", |base| base.text.as_str())
                );
                let what_to_do = match session.root.kind {
                    Kind::Ds389 | Kind::OpenDj => aci,
                    Kind::OpenLdap => format!(
                        "write `access to attrs={name} by dn.exact=\"{account}\" read by * break` before the other rules (slapd.conf), or the same in `olcAccess`"
                    ),
                    Kind::ActiveDirectory => format!("give {account} \"Read Account Restrictions\" below the bases"),
                    Kind::EDirectory | Kind::Other => {
                        format!("let {account} read it, or name another one with `disabled_attribute`")
                    }
                };
                format!(
                    "{name}, which says that an account is disabled, may not be read or does not exist (of {of}), so disabled accounts would look in force: {what_to_do}"
                )
            }
            Self::Probe(dn, what) => format!(
                "`disabled_probe` {dn} {what}, so disabled accounts would look in force: let {account} read what says that it is disabled, or name another entry"
            ),
        }
    }
}

/// What would have to be readable and is not. `Ok(None)`: nothing speaks against it.
pub async fn hidden(session: &mut Session, config: &Config, now: DateTime<Utc>) -> Result<Option<Hidden>, ReadError> {
    let names: Vec<String> = session.schema.accounts.hideable(&session.root).into_iter().map(str::to_owned).collect();
    for base in &config.people {
        let shown = session.schema.accounts.of_every_user();
        if !shown.is_empty() {
            // Contacts and the like have none.
            let user = Filter::Equal("objectClass".to_owned(), b"user".to_vec());
            let filter = Filter::And(vec![session.schema.people.clone(), user]);
            let search = search_below(base, filter, shown.iter().map(|&name| name.to_owned()).collect());
            let found = search::first(&mut session.connection, search, session.root.pages()).await?;
            if let Some(user) = found
                && let Some(name) = shown.iter().find(|name| user.values(name).is_empty())
            {
                return Ok(Some(Hidden::Attribute((*name).to_owned(), user.dn)));
            }
        }
        if names.is_empty() {
            continue;
        }
        let search = search_below(base, session.schema.people.clone(), none());
        let Some(somebody) = search::first(&mut session.connection, search, session.root.pages()).await? else {
            continue;
        };
        for name in &names {
            let defined =
                search::read_entry(&mut session.connection, &somebody.dn, Some(is_defined(name)), none()).await?;
            if defined.is_none() || !may_read(session, config, &somebody.dn, name).await? {
                return Ok(Some(Hidden::Attribute(name.clone(), somebody.dn)));
            }
        }
    }
    let Some(probe) = &config.disabled_probe else { return Ok(None) };
    let attributes = session.schema.person_attributes();
    let found = search::read_entry(&mut session.connection, &probe.text, None, attributes).await?;
    Ok(match found {
        None => Some(Hidden::Probe(probe.text.clone(), "is not there")),
        Some(entry) if session.schema.accounts.in_force(&entry, now) => {
            Some(Hidden::Probe(probe.text.clone(), "looks in force"))
        }
        Some(_) => None,
    })
}

/// The same by example: of whoever has it, it must be shown. Looks through everybody where nobody has it.
pub async fn hidden_by_example(session: &mut Session, config: &Config) -> Result<Option<Hidden>, ReadError> {
    let names: Vec<String> = session.schema.accounts.hideable(&session.root).into_iter().map(str::to_owned).collect();
    for base in &config.people {
        for name in &names {
            let filter = Filter::And(vec![session.schema.people.clone(), Filter::Present(name.clone())]);
            let search = search_below(base, filter, vec![name.clone()]);
            let found = search::first(&mut session.connection, search, session.root.pages()).await?;
            if let Some(entry) = found.filter(|entry| entry.values(name).is_empty()) {
                return Ok(Some(Hidden::Attribute(name.clone(), entry.dn)));
            }
        }
    }
    Ok(None)
}

/// How many people there are below the bases, and of how many it can be said whether they have this.
pub async fn count(session: &mut Session, config: &Config, name: &str) -> Result<(usize, usize), Fault> {
    let pages = session.root.pages().then_some(config.page);
    let (mut all, mut defined) = (0, 0);
    for base in &config.people {
        let people = session.schema.people.clone();
        let search = search_below(base, people.clone(), none());
        all += search::search_all(&mut session.connection, &search, pages, &mut |_| ()).await?.items.len();
        let search = search_below(base, Filter::And(vec![people, is_defined(name)]), none());
        defined += search::search_all(&mut session.connection, &search, pages, &mut |_| ()).await?.items.len();
    }
    Ok((all, defined))
}

fn none() -> Vec<String> {
    vec!["1.1".to_owned()]
}

/// True of whoever has it and of whoever has it not; undefined, and so found by nobody, where it may not be searched for
/// or no such attribute exists (RFC 4511 section 4.5.1.7).
fn is_defined(name: &str) -> Filter {
    let present = Filter::Present(name.to_owned());
    Filter::Or(vec![present.clone(), Filter::Not(Box::new(present))])
}

/// Whether the server says that we may read an attribute of an entry. Where it does not say, nothing speaks against it.
async fn may_read(session: &mut Session, config: &Config, dn: &str, name: &str) -> Result<bool, Fault> {
    if !session.root.knows(EFFECTIVE_RIGHTS) {
        return Ok(true);
    }
    // Of whoever is bound: the value is an authzId, and an account without a name has none.
    let account = format!("dn:{}", config.bind.account());
    let control = Control { oid: EFFECTIVE_RIGHTS.to_owned(), critical: true, value: Some(account.into_bytes()) };
    let search = Search {
        base: dn.to_owned(),
        scope: Scope::Base,
        filter: crate::wire::filter::everything(),
        attributes: vec![name.to_owned()],
        controls: vec![control],
        limit: 0,
    };
    match search::search_all(&mut session.connection, &search, None, &mut |entry| entry).await {
        Ok(found) => Ok(found.items.first().is_none_or(|entry| says_readable(entry, name))),
        // It does not tell us.
        Err(Fault::Refused { .. }) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// `attributeLevelRights: nsAccountLock:rsc, mail:none`; the rights are letters, `r` among them.
fn says_readable(entry: &Entry, name: &str) -> bool {
    let rights = entry.texts("attributeLevelRights").flat_map(|text| text.split(','));
    let of = rights.filter_map(|pair| pair.trim().split_once(':'));
    let mut found = of.filter(|(attribute, _)| attribute.trim().eq_ignore_ascii_case(name));
    found.next().is_none_or(|(_, rights)| rights.trim() != "none" && rights.contains('r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_that_a_server_tells_are_read() {
        let entry = |rights: &str| Entry {
            dn: "uid=ada".to_owned(),
            attributes: vec![("attributelevelrights".to_owned(), vec![rights.as_bytes().to_vec()])],
        };
        for (rights, readable) in [
            ("nsAccountLock:rsc, mail:rsc", true),
            ("mail:rsc, nsaccountlock:rscwo", true),
            ("nsAccountLock:sc, mail:rsc", false),
            ("nsAccountLock:none", false),
            // Not told.
            ("mail:none", true),
            ("", true),
        ] {
            assert_eq!(says_readable(&entry(rights), "nsAccountLock"), readable, "{rights}");
        }
    }
}
