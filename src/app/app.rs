//! What questions and commands work with. Nothing outside this crate reaches into it: a caller is admitted first and then
//! asks through [`Reads`](crate::Reads) or commands through [`Commands`](crate::Commands).

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, Freshness, SharedRoster};
use rollcall_authn::{Authenticator, Credentials, Realm, SignIn, SignInError};
use rollcall_eventlog::{Append, Tail};
use rollcall_events::{Clock, LogId, Position};
use rollcall_ingest::{Receiver, Runners};
use rollcall_store::ops::Ops;
use tokio::sync::RwLock;

use crate::{
    Control, Decisions, SignedIn,
    command_budget::CommandBudget,
    error::{ErrorKind, Result},
    lists::kept::KeptLists,
    share::Party,
    turn::Shares,
};

/// How long a read waits for a position where it does not say.
const DEFAULT_WAIT: Duration = Duration::from_millis(250);

/// What the binary puts an [`App`] together from.
pub struct AppParts {
    /// The roster.
    pub live: Arc<SharedRoster>,
    /// Takes the events of commands.
    pub append: Arc<dyn Append>,
    /// Reads the log.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub ops: Arc<dyn Ops>,
    /// Keeps decisions, off the request's path.
    pub decisions: Arc<dyn Decisions>,
    /// Takes deliveries.
    pub receiver: Receiver,
    /// Read the sources that are read.
    pub runners: Runners,
    /// The running process.
    pub control: Arc<dyn Control>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the roster can be decided by.
    pub freshness: Arc<dyn Freshness>,
    /// Says who calls.
    pub authenticator: Arc<Authenticator>,
    /// What the configuration says of access, in effect or not.
    pub configuration: Arc<Configuration>,
    /// The registry that tokens are for, as its clients name it, where the configuration says so.
    pub registry: Option<String>,
    /// How many connections the server has at most: those that wait are a part of them.
    pub connections: usize,
}

/// Questions and commands.
pub struct App {
    pub(crate) live: Arc<SharedRoster>,
    pub(crate) append: Arc<dyn Append>,
    pub(crate) tail: Arc<dyn Tail>,
    pub(crate) ops: Arc<dyn Ops>,
    pub(crate) decisions: Arc<dyn Decisions>,
    pub(crate) receiver: Receiver,
    pub(crate) runners: Runners,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) freshness: Arc<dyn Freshness>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) registry: Option<String>,
    /// Commands share it; one that rests on what it saw before takes it alone.
    pub(crate) command_order: Arc<RwLock<()>>,
    pub(crate) shares: Shares,
    pub(crate) kept_lists: Arc<KeptLists>,
    pub(crate) command_budget: CommandBudget,
}

impl App {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: AppParts) -> Arc<Self> {
        let AppParts {
            live,
            append,
            tail,
            ops,
            decisions,
            receiver,
            runners,
            control,
            clock,
            freshness,
            authenticator,
            configuration,
            registry,
            connections,
        } = parts;
        Arc::new(Self {
            live,
            append,
            tail,
            ops,
            decisions,
            receiver,
            runners,
            control,
            clock,
            freshness,
            authenticator,
            configuration,
            registry,
            command_order: Arc::default(),
            shares: Shares::new(connections),
            kept_lists: Arc::default(),
            command_budget: CommandBudget::default(),
        })
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// When nobody can be signed in with these credentials now.
    pub async fn sign_in(&self, credentials: &Credentials, client: IpAddr) -> Result<SignedIn, SignInError> {
        let sign_in = SignIn { realm: Realm::Api, credentials, client, now: self.now() };
        let found = self.authenticator.authenticate(&sign_in, |roster, who| SignedIn::of(roster, who, client)).await?;
        found.ok_or(SignInError::WrongCredentials)
    }

    /// Notes that what a request presents cannot be credentials.
    pub fn note_malformed(&self, client: IpAddr) {
        self.authenticator.note_malformed(client, self.now());
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Which log this is.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.tail.log_id()
    }

    /// How far the roster has folded the log.
    #[must_use]
    pub fn applied(&self) -> Position {
        *self.control.applied().borrow()
    }

    /// Waits in the caller's share until a position is applied, so that no older answer gets through. `log`: the log that
    /// it is of, where the caller says so.
    ///
    /// # Errors
    /// [`ErrorKind::OtherLog`], [`ErrorKind::Overloaded`] where the caller waits often already, or [`ErrorKind::Behind`]
    /// when the time is over.
    pub async fn wait_for(
        &self,
        signed_in: &SignedIn,
        log: Option<LogId>,
        position: Position,
        wait: Option<Duration>,
    ) -> Result<()> {
        let own = self.log_id();
        if log.is_some_and(|log| log != own) {
            return Err(ErrorKind::OtherLog.because(format!(
                "This is log {own}. It was restored or recreated since that position was given; read again without `min_position`."
            )));
        }
        if self.is_applied_in_share(&signed_in.party(), position, wait.unwrap_or(DEFAULT_WAIT)).await? {
            return Ok(());
        }
        let reached = self.applied();
        Err(ErrorKind::Behind
            .because(format!("Position {position} is not applied yet, {reached} is. Send the same request again, or with a longer `wait`."))
            .at(reached)
            .retry_after(1))
    }

    /// As [`Self::is_applied_within`], in the share of whoever asks for the wait; what is applied already takes none of it.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`]: as many wait as may.
    pub(crate) async fn is_applied_in_share(&self, party: &Party, position: Position, wait: Duration) -> Result<bool> {
        if self.applied() >= position {
            return Ok(true);
        }
        let _slot = self.shares.wait(party).await?;
        Ok(self.is_applied_within(position, wait).await)
    }

    /// Waits for a position to be applied, `wait` at most; says whether it was.
    pub(crate) async fn is_applied_within(&self, position: Position, wait: Duration) -> bool {
        let mut applied = self.control.applied();
        let reached = applied.wait_for(|reached| *reached >= position);
        matches!(tokio::time::timeout(wait, reached).await, Ok(Ok(_)))
    }
}
