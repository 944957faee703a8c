//! Services: principals that are no humans, kept in Rollcall itself.

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, Position};

use crate::roster::{
    Roster,
    facts::{Service, instant},
    handles::ServiceIx,
};

/// A service as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView<'a> {
    /// Its id, and the name to sign in with.
    pub id: &'a str,
    /// A label.
    pub name: Option<&'a str>,
    /// Until when (exclusive) it signs in and may do anything; without end when absent.
    pub ends: Option<DateTime<Utc>>,
    /// Of a portal: the sources whose people it serves; every source when empty.
    pub sources: Vec<&'a str>,
    /// The newest event about it.
    pub changed: Position,
}

impl Roster {
    /// The service with an id; one that was removed is not found.
    #[must_use]
    pub fn service_by_id(&self, id: &str) -> Option<ServiceIx> {
        let local = u16::try_from(self.facts.sources.find(0, LOCAL)?).ok()?;
        let ix = ServiceIx(self.facts.services.find(local, id)?);
        self.service_stands(ix).then_some(ix)
    }

    /// Every service that was not removed.
    pub fn services(&self) -> impl Iterator<Item = ServiceIx> {
        (0..self.facts.services.len()).map(ServiceIx).filter(|ix| self.service_stands(*ix))
    }

    /// A service's id and label.
    #[must_use]
    pub fn service(&self, service: ServiceIx) -> ServiceView<'_> {
        let row = self.service_row(service);
        ServiceView {
            id: self.facts.services.id(service.0),
            name: row.and_then(|row| row.name.as_deref()),
            ends: instant(self.service_end(service)),
            sources: row.map_or(&[][..], |row| &row.sources).iter().map(|source| self.source_text(*source)).collect(),
            changed: row.map(|row| row.register.cause).unwrap_or_default(),
        }
    }

    pub(crate) fn service_row(&self, ServiceIx(ix): ServiceIx) -> Option<&Service> {
        self.facts.services.get(ix)?.as_ref()
    }

    /// When it is over; the end of time where it has no end.
    pub(crate) fn service_end(&self, service: ServiceIx) -> i64 {
        self.service_row(service).map_or(i64::MAX, |row| row.ends)
    }

    /// Whether it is there, and not over.
    pub(crate) fn service_runs(&self, service: ServiceIx, now: i64) -> bool {
        self.service_row(service).is_some_and(|row| row.register.stands() && now < row.ends)
    }

    pub(crate) fn service_stands(&self, service: ServiceIx) -> bool {
        self.service_row(service).is_some_and(|row| row.register.stands())
    }
}
