//! Whether a service may be made or removed.

use chrono::{DateTime, Utc};
use rollcall_events::body;

use crate::{
    commands::{
        check_id, check_label,
        last_holder::Removal,
        refusal::{Refusal, missing},
    },
    roster::{
        Roster,
        handles::{Place, ServiceIx},
    },
};

impl Roster {
    pub(crate) fn check_service(&self, data: &body::Service, now: DateTime<Utc>) -> Result<(), Refusal> {
        check_id("service", data.service.as_str())?;
        check_label("service", data.name.as_deref())?;
        self.authorize(data.author.as_ref(), "service.set", Place::Root, now).map(|_| ())
    }

    pub(crate) fn check_service_removal(&self, data: &body::ServiceRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let ServiceIx(ix) =
            self.service_by_id(data.service.as_str()).ok_or_else(|| missing("service", data.service.as_str()))?;
        self.authorize(data.author.as_ref(), "service.set", Place::Root, now)?;
        self.check_last_holder(Removal::Service(ix), now)?;
        Ok(ix)
    }
}
