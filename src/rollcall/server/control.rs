//! What the API asks of the running process, answered by projector, log and keys. Translates; decides nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Subject};
use rollcall_app::{
    Checked, Control, ControlError, Projection, ProjectionState, Reloaded, RenewalStep, SigningAuthority, SigningKey,
    Verified,
};
use rollcall_eventlog::{EngineConfig, Log, VerifyError, VerifyOptions, WriteAhead};
use rollcall_events::{Clock, Position};
use rollcall_projector::{Handle, RebuildError, State, Task};
use rollcall_registry::{AuthorityInfo, AuthorityRole, KeyInfo, Keys};
use rollcall_store::read::SupersededRow;
use tokio::sync::watch;

use crate::server::{databases::Databases, reload::Reloader};

/// The projections by name, the memory one first.
const ROSTER: &str = "roster";
const READ: &str = "read";
/// How long a question about the past waits for the SQL side to reach it; it is behind by a batch at most, or rebuilt.
const READ_SIDE_TIMEOUT: Duration = Duration::from_secs(2);

/// The process as the API sees it.
pub struct ServerControl {
    /// Where the log is.
    pub log: EngineConfig,
    /// The databases.
    pub databases: Databases,
    /// The projector.
    pub projector: Handle,
    /// The keys of registry tokens.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads secrets and certificates anew.
    pub reloader: Arc<Reloader>,
}

impl ServerControl {
    async fn compare(&self, projection: &str, rebuild: Rebuild) -> Result<Checked, ControlError> {
        if ![ROSTER, READ].contains(&projection) {
            return Err(ControlError::Unknown(format!(
                "There is no projection of this name; there are {ROSTER} and {READ}."
            )));
        }
        let compared = match rebuild {
            Rebuild::No => self.projector.check().await,
            Rebuild::Yes => self.projector.rebuild().await,
        };
        let compared = compared.map_err(|error| match error {
            RebuildError::Busy => ControlError::Busy(error.to_string()),
            other => ControlError::Unavailable(other.to_string()),
        })?;
        // The SQL side is held against the log folded anew, like the live roster.
        let (position, live, replayed, flaws) = match compared.sql {
            _ if projection == ROSTER => (compared.position, compared.live, compared.replayed, compared.flaws),
            Some(sql) => (sql.position, sql.view, sql.replayed, 0),
            None => {
                let why = "the SQL side did not come to where the roster is in time: see `rollcall projection status`";
                return Err(ControlError::Unavailable(why.to_owned()));
            }
        };
        let (same, flaws) = (live == replayed && flaws == 0, u64::try_from(flaws).unwrap_or(u64::MAX));
        let (live, replayed) = (live.to_string(), replayed.to_string());
        Ok(Checked { name: projection.to_owned(), position, same, live, replayed, flaws, swapped: compared.swapped })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rebuild {
    Yes,
    No,
}

fn signing_key(info: &KeyInfo) -> SigningKey {
    SigningKey {
        kid: info.kid.clone(),
        algorithm: info.algorithm.to_string(),
        current: info.published_until.is_none(),
        not_before: info.created,
        not_after: info.published_until.unwrap_or(info.certificate_ends),
    }
}

fn signing_authority(info: &AuthorityInfo) -> SigningAuthority {
    let role = match info.role {
        AuthorityRole::Certifies => "certifies",
        AuthorityRole::Next => "next",
        AuthorityRole::Former => "former",
    };
    SigningAuthority { name: info.name.clone(), role: role.to_owned(), not_after: info.ends, takeover: info.replaced }
}

#[async_trait]
impl Control for ServerControl {
    fn applied(&self) -> watch::Receiver<Position> {
        self.projector.applied()
    }

    fn lag(&self, now: DateTime<Utc>) -> Duration {
        let status = self.projector.status(now);
        if status.roster < status.head { status.age } else { Duration::ZERO }
    }

    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ControlError> {
        self.projector.effects(positions).await.map_err(|error| ControlError::Unavailable(error.to_string()))
    }

    async fn projections(&self) -> Result<Vec<Projection>, ControlError> {
        let status = self.projector.status(self.clock.now());
        let state = |follows: bool| match (&status.state, status.rebuild) {
            (State::Stopped(_), _) => ProjectionState::Stopped,
            (_, Some(progress)) if matches!(progress.task, Task::Rebuild | Task::Refold) => ProjectionState::Rebuilding,
            (State::Following, _) if follows => ProjectionState::Live,
            (State::CatchingUp | State::Following, _) => ProjectionState::CatchingUp,
        };
        let parked = self.projector.parked();
        let one = |name: &str, position: Position, follows: bool| Projection {
            name: name.to_owned(),
            state: state(follows),
            position,
            head: status.head,
            lag_seconds: if position < status.head { status.age.as_secs_f64() } else { 0.0 },
            parked: u64::try_from(parked).unwrap_or(u64::MAX),
        };
        Ok(vec![one(ROSTER, status.roster, true), one(READ, status.read, status.read_follows)])
    }

    async fn check(&self, projection: &str) -> Result<Checked, ControlError> {
        self.compare(projection, Rebuild::No).await
    }

    async fn rebuild(&self, projection: &str) -> Result<Checked, ControlError> {
        self.compare(projection, Rebuild::Yes).await
    }

    fn write_ahead(&self) -> Vec<WriteAhead> {
        self.databases.write_ahead()
    }

    async fn verify(&self) -> Result<Verified, ControlError> {
        let verified = Log::verify(&self.log, VerifyOptions::default(), |_| ()).await.map_err(|error| match error {
            VerifyError::Damaged { position, what } => ControlError::Damaged { position, what },
            // An index, a schema or a file beside the log is not at a position; nothing before it can be trusted.
            VerifyError::Structure { .. } => ControlError::Damaged { position: Position(0), what: error.to_string() },
            VerifyError::Altered { position } => ControlError::Damaged { position, what: error.to_string() },
            other => ControlError::Unavailable(other.to_string()),
        })?;
        Ok(Verified { events: verified.events, position: verified.head.position, hash: verified.head.hash.to_string() })
    }

    async fn keys(&self) -> Result<Vec<SigningKey>, ControlError> {
        Ok(self.keys.current().list().iter().map(signing_key).collect())
    }

    async fn authorities(&self) -> Result<Vec<SigningAuthority>, ControlError> {
        Ok(self.keys.authorities().iter().map(signing_authority).collect())
    }

    async fn renew_authority(&self, step: RenewalStep) -> Result<Vec<SigningAuthority>, ControlError> {
        let (keys, now) = (Arc::clone(&self.keys), self.clock.now());
        if step == RenewalStep::Use && !keys.authorities().iter().any(|one| one.role == AuthorityRole::Next) {
            let what = "There is no next authority: make it first, and give every registry the bundle with both";
            return Err(ControlError::Busy(what.to_owned()));
        }
        let done = tokio::task::spawn_blocking(move || match step {
            RenewalStep::Make => keys.make_next_authority(now),
            RenewalStep::Use => keys.use_next_authority(now),
        });
        let done = done.await.map_err(|error| ControlError::Unavailable(error.to_string()))?;
        done.map_err(|error| ControlError::Unavailable(error.to_string()))?;
        self.authorities().await
    }

    async fn reload(&self) -> Result<Reloaded, ControlError> {
        let reloader = Arc::clone(&self.reloader);
        let reloaded = tokio::task::spawn_blocking(move || reloader.reload()).await;
        reloaded.map_err(|error| ControlError::Unavailable(error.to_string()))
    }

    async fn rotate_keys(&self) -> Result<SigningKey, ControlError> {
        let (keys, now) = (Arc::clone(&self.keys), self.clock.now());
        let made = tokio::task::spawn_blocking(move || keys.rotate(now)).await;
        let made = made.map_err(|error| ControlError::Unavailable(error.to_string()))?;
        made.map(|info| signing_key(&info)).map_err(|error| ControlError::Unavailable(error.to_string()))
    }

    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        lost: bool,
    ) -> Result<Option<Vec<Position>>, ControlError> {
        let found = self.projector.events_of(subjects, to, lost, READ_SIDE_TIMEOUT).await;
        found.map_err(|error| ControlError::Unavailable(error.to_string()))
    }

    async fn superseded(
        &self,
        after: Position,
        rows: u32,
    ) -> Result<(Vec<SupersededRow>, Option<Position>), ControlError> {
        let found = self.projector.superseded(after, rows).await;
        found.map_err(|error| ControlError::Unavailable(error.to_string()))
    }

    async fn key_bundle(&self) -> Result<String, ControlError> {
        Ok(self.keys.bundle())
    }
}
