//! Whether a service may be made or removed.

use chrono::{DateTime, Utc};
use rollcall_events::body;

use crate::{
    commands::{
        authority::Authority,
        check_id, check_label,
        last_holder::Removal,
        refusal::{Refusal, RefusalKind, missing},
    },
    roster::{
        Roster,
        handles::{Place, ServiceIx},
    },
};

/// How many services one maker who is no administrator can have.
const MAX_SERVICES: usize = 100;

impl Roster {
    pub(crate) fn check_service(&self, data: &body::Service, now: DateTime<Utc>) -> Result<(), Refusal> {
        check_id("service", data.service.as_str())?;
        check_label("service", data.name.as_deref())?;
        let authority = self.authorize(data.author.as_ref(), "service.set", Place::Root, now)?;
        self.check_room_for_service(authority, data)
    }

    /// Whoever is no administrator makes so many services and no more.
    fn check_room_for_service(&self, authority: Authority, data: &body::Service) -> Result<(), Refusal> {
        let Some(author) = data.author.as_ref().filter(|_| authority != Authority::Operator) else { return Ok(()) };
        let Some(maker) = self.resolve_author(author)? else { return Ok(()) };
        let theirs = |service: &ServiceIx| {
            let author = self.service_row(*service).and_then(|row| row.author);
            author.and_then(|author| self.owner_principal(author)) == Some(maker)
        };
        if self.services().filter(theirs).count() < MAX_SERVICES {
            return Ok(());
        }
        Err(RefusalKind::TooMany.because(format!(
            "{} has made {MAX_SERVICES} services that are there, which is the most: remove one first",
            author.as_str()
        )))
    }

    pub(crate) fn check_service_removal(&self, data: &body::ServiceRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let ServiceIx(ix) =
            self.service_by_id(data.service.as_str()).ok_or_else(|| missing("service", data.service.as_str()))?;
        self.authorize(data.author.as_ref(), "service.set", Place::Root, now)?;
        self.check_last_holder(Removal::Service(ix), now)?;
        Ok(ix)
    }
}
