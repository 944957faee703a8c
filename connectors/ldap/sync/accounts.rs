//! Proves that what says that an account is disabled, or when it is over, can be read: where it is hidden, everybody looks in
//! force. Whether there is such a thing, and who may have it, the server's schema says. The rest as far as a server lets one
//! prove it: by somebody who has it, by a filter that is undefined for what may not be searched, by the rights that the
//! server says, and by an entry that the operator knows to be disabled.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    client::Session,
    config::{Base, Config},
    schema::{
        account::{Hideable, Says},
        definitions::{Definitions, Holders},
        server::Kind,
    },
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
    Attribute(Hideable, String),
    /// Whether there is such an attribute cannot be said, as the server's schema may not be read.
    Schema(Hideable),
    /// The entry that is known to be disabled does not look so.
    Probe(String, &'static str),
}

impl Hidden {
    fn everybodys(name: &str, of: String) -> Self {
        let says = if name == "accountExpires" { Says::End } else { Says::Disabled };
        Self::Attribute(Hideable { name: name.to_owned(), says, is_own: false }, of)
    }

    /// For the operator: what is wrong, and what to do.
    pub fn text(&self, session: &Session, config: &Config) -> String {
        let account = config.bind.account();
        match self {
            Self::Attribute(what, of) => {
                let name = &what.name;
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
                    Kind::EDirectory | Kind::Other => format!("let {account} read it"),
                };
                let (may_lack, or_else) = match (what.is_own, session.root.kind) {
                    (true, _) => (" or does not exist", "; or name another one with `disabled_attribute`"),
                    (false, Kind::ActiveDirectory) => ("", ""),
                    (false, _) => ("", "; or, if nobody has one, name it in `unused_attributes`"),
                };
                format!(
                    "{}, may not be read{may_lack} (of {of}), {}: {what_to_do}{or_else}",
                    meaning(what),
                    danger(what)
                )
            }
            Self::Schema(what) => format!(
                "whether there is {}, cannot be said, as the server's schema ({}) may not be read, {}: let {account} read it; or, if nobody has one, name it in `unused_attributes`",
                meaning(what),
                session.root.subschema.as_deref().unwrap_or("which it does not name"),
                danger(what)
            ),
            Self::Probe(dn, what) => format!(
                "`disabled_probe` {dn} {what}, so disabled accounts would look in force: let {account} read what says that it is disabled, or name another entry"
            ),
        }
    }
}

/// An attribute and what it is for.
pub fn meaning(of: &Hideable) -> String {
    let says = match of.says {
        Says::Disabled => "which says that an account is disabled",
        Says::End => "which says when an account is over",
    };
    format!("{}, {says}", of.name)
}

fn danger(of: &Hideable) -> &'static str {
    match of.says {
        Says::Disabled => "so disabled accounts would look in force",
        Says::End => "so accounts that are over would look in force",
    }
}

/// What would have to be readable and is not. `Ok(None)`: nothing speaks against it.
pub async fn hidden(session: &mut Session, config: &Config, now: DateTime<Utc>) -> Result<Option<Hidden>, ReadError> {
    let hideable = session.schema.accounts.hideable();
    let definitions = definitions(session, now).await?;
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
                return Ok(Some(Hidden::everybodys(name, user.dn)));
            }
        }
        if hideable.is_empty() {
            continue;
        }
        let people = session.schema.people.clone();
        let Some(somebody) = first(session, base, people).await? else { continue };
        for what in &hideable {
            let example = match holders(definitions.as_deref(), what) {
                Some(holders) => example(session, base, &holders, &somebody).await?,
                None => Some(somebody.clone()),
            };
            let Some(of) = example else { continue };
            if is_searchable(session, &of, &what.name).await? && may_read(session, config, &of, &what.name).await? {
                continue;
            }
            match (what.is_own || definitions.is_some(), session.root.kind) {
                (true, _) => return Ok(Some(Hidden::Attribute(what.clone(), of))),
                // It may have no schema, and no such attribute.
                (false, Kind::Other) => {}
                (false, _) => return Ok(Some(Hidden::Schema(what.clone()))),
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

/// The server's schema, where something is looked up in it: Active Directory's is large, and not needed.
async fn definitions(session: &mut Session, now: DateTime<Utc>) -> Result<Option<Arc<Definitions>>, Fault> {
    let is_needed = session.schema.accounts.hideable().iter().any(|what| !what.is_own);
    if is_needed { session.definitions(now).await } else { Ok(None) }
}

/// Who may have this, by the server's schema. Everybody where it is the operator's own: it is to be there. `None`: the server
/// does not show its schema.
fn holders(definitions: Option<&Definitions>, what: &Hideable) -> Option<Holders> {
    if what.is_own { Some(Holders::Everybody) } else { Some(definitions?.holders(&what.name)) }
}

/// Somebody of a base who may have what these hold; none where nobody may.
async fn example(
    session: &mut Session,
    base: &Base,
    holders: &Holders,
    somebody: &str,
) -> Result<Option<String>, Fault> {
    if *holders == Holders::Everybody {
        return Ok(Some(somebody.to_owned()));
    }
    let Some(classes) = holders.filter() else { return Ok(None) };
    let filter = Filter::And(vec![session.schema.people.clone(), classes]);
    if let Some(found) = first(session, base, filter).await? {
        return Ok(Some(found));
    }
    // Of whom not even the class may be searched nobody can say what they may have.
    let shows_class = is_searchable(session, somebody, "objectClass").await?;
    Ok((!shows_class).then(|| somebody.to_owned()))
}

/// The first entry of a base that is found so, by its name.
async fn first(session: &mut Session, base: &Base, filter: Filter) -> Result<Option<String>, Fault> {
    let search = search_below(base, filter, none());
    Ok(search::first(&mut session.connection, search, session.root.pages()).await?.map(|entry| entry.dn))
}

async fn is_searchable(session: &mut Session, dn: &str, name: &str) -> Result<bool, Fault> {
    Ok(search::read_entry(&mut session.connection, dn, Some(is_defined(name)), none()).await?.is_some())
}

/// The same by example: of whoever has it, it must be shown. Looks through everybody where nobody has it.
pub async fn hidden_by_example(
    session: &mut Session,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<Option<Hidden>, ReadError> {
    for (what, _) in provable(session, now).await? {
        for base in &config.people {
            let filter = Filter::And(vec![session.schema.people.clone(), Filter::Present(what.name.clone())]);
            let search = search_below(base, filter, vec![what.name.clone()]);
            let found = search::first(&mut session.connection, search, session.root.pages()).await?;
            if let Some(entry) = found.filter(|entry| entry.values(&what.name).is_empty()) {
                return Ok(Some(Hidden::Attribute(what, entry.dn)));
            }
        }
    }
    Ok(None)
}

/// What there is on this server and may be hidden, each with what whoever may have it is found by.
pub async fn provable(session: &mut Session, now: DateTime<Utc>) -> Result<Vec<(Hideable, Filter)>, Fault> {
    let definitions = definitions(session, now).await?;
    let known = session.schema.accounts.hideable().into_iter();
    let known = known.map(|what| (holders(definitions.as_deref(), &what).and_then(|holders| holders.filter()), what));
    Ok(known.filter_map(|(who, what)| Some((what, who?))).collect())
}

/// How many people there are below the bases who may have this, and of how many it can be said whether they have it.
pub async fn count(session: &mut Session, config: &Config, name: &str, who: &Filter) -> Result<(usize, usize), Fault> {
    let pages = session.root.pages().then_some(config.page);
    let (mut all, mut defined) = (0, 0);
    for base in &config.people {
        let people = vec![session.schema.people.clone(), who.clone()];
        let search = search_below(base, Filter::And(people.clone()), none());
        all += search::search_all(&mut session.connection, &search, pages, &mut |_| ()).await?.items.len();
        let filter = Filter::And(people.into_iter().chain([is_defined(name)]).collect());
        let search = search_below(base, filter, none());
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
