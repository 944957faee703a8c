//! Whether a password is right: the account is searched for, exactly one entry must be it, and a bind with its name says
//! so. A bind that did not happen is no answer.

use std::collections::BTreeMap;

use rollcall_events::Id;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    client::Session,
    directory::Directory,
    password_answer::{PasswordAnswer, PasswordRefusal, answer, request},
    schema::server::Kind,
    sync::read::search_below,
    wire::{
        fault::Fault,
        filter::{Filter, everything},
        message::{Scope, Search},
        search,
    },
};

/// sizeLimitExceeded.
const SIZE_LIMIT: u32 = 4;

/// Whose account is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Of the person with this immutable id.
    Id(&'a Id),
    /// Of whom people call so.
    Name(&'a str),
}

/// What is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountFound {
    /// One account: the person's id, and the name to bind with.
    One(Id, String),
    /// None.
    Nobody,
    /// Several, so that the name is nobody's.
    Several(Vec<Id>),
}

impl Directory {
    /// Looks for an account. A name is the user name, any value of it, or what else the configuration lets people type.
    ///
    /// # Errors
    /// The directory could not be asked.
    pub async fn find_account(&self, wanted: Wanted<'_>) -> Result<AccountFound, Fault> {
        let mut session = self.client().session().await?;
        let found = self.accounts(&mut session, wanted).await;
        session.connection.close().await;
        let mut found = match found {
            Err(Fault::Refused { code: SIZE_LIMIT, .. }) if matches!(wanted, Wanted::Name(_)) => {
                return Ok(AccountFound::Several(Vec::new()));
            }
            found => found?,
        };
        Ok(match (found.pop_first(), found.is_empty()) {
            (None, _) => AccountFound::Nobody,
            (Some((id, dn)), true) => AccountFound::One(id, dn),
            (Some((id, _)), false) => AccountFound::Several(std::iter::once(id).chain(found.into_keys()).collect()),
        })
    }

    /// Whether it is the password of this entry; of none a bind all the same, as somebody who does not exist. An empty,
    /// blank or NUL-bearing one is never sent: many servers take it for an anonymous bind and say yes.
    ///
    /// # Errors
    /// The directory could not be asked.
    pub async fn check(&self, entry: Option<&str>, password: &SecretString) -> Result<PasswordAnswer, Fault> {
        let text = password.expose_secret();
        if text.trim().is_empty() || text.contains('\0') {
            return Ok(PasswordAnswer::Refused(PasswordRefusal::Wrong));
        }
        let nobody = || {
            let base = self.client().config.people.first().map_or("", |base| base.text.as_str());
            format!("cn=rollcall-nobody,{base}")
        };
        let dn = entry.map_or_else(nobody, str::to_owned);
        let mut connection = self.client().connect_preferred().await?;
        let bound = connection.try_password(&dn, password, &[request()]).await;
        connection.close().await;
        let (outcome, controls) = bound?;
        match answer(&outcome, &controls) {
            // Nobody's is never right.
            Some(PasswordAnswer::Good) if entry.is_none() => Ok(PasswordAnswer::Refused(PasswordRefusal::Wrong)),
            Some(answer) => Ok(answer),
            None => Err(connection_refused(self, &outcome)),
        }
    }

    /// Everybody who may be meant: ids, and the names to bind with.
    async fn accounts(&self, session: &mut Session, wanted: Wanted<'_>) -> Result<BTreeMap<Id, String>, Fault> {
        let schema = session.schema.clone();
        let called = match wanted {
            Wanted::Id(id) => Filter::Equal(schema.id.clone(), schema.id_value(id)),
            Wanted::Name(name) => self.called(session, name.trim()).await?,
        };
        let filter = Filter::And(vec![schema.people.clone(), called]);
        let mut found = BTreeMap::new();
        // Bases may lie in each other.
        for base in &self.client().config.people {
            let search = search_below(base, filter.clone(), vec![schema.id.clone()]);
            for entry in search::search_all(&mut session.connection, &search, None, &mut |entry| entry).await?.items {
                let id = schema.id_of(&entry).map_err(|why| Fault::Malformed(why.to_string()))?;
                found.insert(id, entry.dn);
            }
        }
        Ok(found)
    }

    /// Who is called so.
    async fn called(&self, session: &mut Session, name: &str) -> Result<Filter, Fault> {
        let schema = session.schema.clone();
        let equal = |attribute: &String, value: &str| Filter::Equal(attribute.clone(), value.as_bytes().to_vec());
        let mut ways = vec![equal(&schema.username, name)];
        ways.extend(schema.sign_in.iter().map(|attribute| equal(attribute, name)));
        if let Some((domain, user)) = name.split_once('\\')
            && self.netbios_name(session).await?.is_some_and(|known| known.eq_ignore_ascii_case(domain))
        {
            ways.push(equal(&schema.username, user));
        }
        // Everybody in Active Directory has such a name, also where none is written down.
        if let Some((user, domain)) = name.rsplit_once('@')
            && schema.sign_in.iter().any(|attribute| attribute.eq_ignore_ascii_case("userPrincipalName"))
            && session.root.dns_domain().is_some_and(|known| known.eq_ignore_ascii_case(domain))
        {
            ways.push(equal(&schema.username, user));
        }
        Ok(Filter::any(ways))
    }

    /// The NetBIOS name of the domain: as the configuration says, else Active Directory's own.
    async fn netbios_name(&self, session: &mut Session) -> Result<Option<String>, Fault> {
        if let Some(name) = &self.client().config.attributes.netbios {
            return Ok(Some(name.clone()));
        }
        let (Kind::ActiveDirectory, Some(domain), Some(configuration)) =
            (session.root.kind, &session.root.default_context, &session.root.configuration)
        else {
            return Ok(None);
        };
        let filter = Filter::And(vec![
            everything(),
            Filter::Equal("nCName".to_owned(), domain.as_bytes().to_vec()),
            Filter::Present("nETBIOSName".to_owned()),
        ]);
        let search = Search {
            base: format!("CN=Partitions,{configuration}"),
            scope: Scope::Subtree,
            filter,
            attributes: vec!["nETBIOSName".to_owned()],
            controls: Vec::new(),
            limit: 0,
        };
        let found = search::search_all(&mut session.connection, &search, None, &mut |entry| entry).await?.items;
        Ok(found.first().and_then(|entry| entry.text("nETBIOSName")).map(str::to_owned))
    }
}

fn connection_refused(directory: &Directory, outcome: &crate::wire::message::Outcome) -> Fault {
    let what = format!("checking a password at {}", directory.client().preferred_url());
    let said = if outcome.message.is_empty() { String::new() } else { format!(": {}", outcome.message) };
    Fault::Refused { what, code: outcome.code, said }
}
