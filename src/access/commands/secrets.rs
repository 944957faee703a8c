//! Whether a secret may be made or ended by its author. What it may be and until when it is good, the fold says.

use chrono::{DateTime, Utc};
use rollcall_events::body::Author;

use crate::{
    commands::{
        authority::Authority,
        refusal::{Refusal, RefusalKind},
    },
    roster::{
        Roster,
        handles::{Place, Principal},
    },
};

impl Roster {
    /// As [`Self::authorize`], where the command is about what signs somebody in. Everybody does so for himself or
    /// herself. Whoever gives another a secret can sign in as that one, and whoever takes it shuts him or her out: so
    /// only the operator does either to somebody who was given a role.
    pub(super) fn authorize_about_owner(
        &self,
        author: Option<&Author>,
        about: Option<Principal>,
        action: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let own = match author {
            Some(author) => self.resolve_author(author)?.filter(|author| Some(*author) == about),
            None => None,
        };
        if own.is_some() {
            return Ok(());
        }
        let authority = self.authorize(author, action, Place::Root, now)?;
        if authority == Authority::Operator || !about.is_some_and(|about| self.has_bindings(about, now)) {
            return Ok(());
        }
        Err(RefusalKind::Beyond
            .because("its owner was given a role, and only an administrator gives or takes the secrets of such"))
    }
}
