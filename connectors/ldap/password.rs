//! Whether a password is right: the person is searched for, exactly one entry must be it, and a bind with its name says so.
//! A bind that did not happen is no answer.

use rollcall_events::Id;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    client::Session,
    directory::Directory,
    sync::read::search_below,
    wire::{connection::Bind, fault::Fault, filter::Filter, search},
};

/// Whose password is checked.
#[derive(Debug, Clone, Copy)]
pub enum PasswordOwner<'a> {
    /// Of the person with this immutable id.
    Id(&'a Id),
    /// Of nobody whom we know: looked for all the same, so that it takes as long, and never right.
    Name(&'a str),
}

impl Directory {
    /// Whether it is that person's password. An empty, blank or NUL-bearing one is never sent: many servers take it for
    /// an anonymous bind and say yes.
    ///
    /// # Errors
    /// The directory could not be asked.
    pub async fn check(&self, whose: PasswordOwner<'_>, password: &SecretString) -> Result<bool, Fault> {
        let text = password.expose_secret();
        if text.trim().is_empty() || text.contains('\0') {
            return Ok(false);
        }
        let mut session = self.client().session().await?;
        let found = self.candidates(&mut session, whose).await?;
        let (dn, known) = match (whose, found.as_slice()) {
            (PasswordOwner::Id(_), [only]) => (only.clone(), true),
            // None, or more than one: a bind all the same, as somebody who does not exist.
            _ => {
                let base = self.client().config.people.first().map_or("", |base| base.text.as_str());
                (format!("cn=rollcall-nobody,{base}"), false)
            }
        };
        let url = session.connection.url().clone();
        session.connection.close().await;
        let mut connection = self.client().connect(&url).await?;
        let bound = connection.bind(&Bind::Simple(dn, password.clone())).await;
        connection.close().await;
        match bound {
            Ok(()) => Ok(known),
            Err(Fault::Unauthorised { .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The names of everybody who may be meant.
    async fn candidates(&self, session: &mut Session, whose: PasswordOwner<'_>) -> Result<Vec<String>, Fault> {
        let schema = session.schema.clone();
        let wanted = match whose {
            PasswordOwner::Id(id) => Filter::Equal(schema.id.clone(), schema.id_value(id)),
            PasswordOwner::Name(name) => Filter::Equal(schema.username.clone(), name.as_bytes().to_vec()),
        };
        let filter = Filter::And(vec![schema.people.clone(), wanted]);
        let mut found = Vec::new();
        for base in &self.client().config.people {
            let search = search_below(base, filter.clone(), vec!["1.1".to_owned()]);
            found
                .extend(search::search_all(&mut session.connection, &search, None, &mut |entry| entry.dn).await?.items);
        }
        // Bases may lie in each other.
        found.sort();
        found.dedup();
        Ok(found)
    }
}
