//! Sign-ins that were refused: rows, and what is asked of them. No SQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::OpsError;

/// What was refused in an hour: to whom, from where, why, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSignInRow {
    /// The id of the user or service whose name it was; nothing for names that nobody has.
    pub principal: Option<String>,
    /// The name of then.
    pub name: Option<String>,
    /// The client's address, or its network where the name is nobody's.
    pub client: String,
    /// Why.
    pub cause: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_at: DateTime<Utc>,
    /// When last.
    pub last_at: DateTime<Utc>,
}

/// How many records of a kind went because a budget was full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetGo {
    /// Of what.
    pub kind: String,
    /// How many.
    pub rows: u64,
}

/// What was refused at the door, bounded for each name.
#[async_trait]
pub trait RefusedSignIns: Send + Sync + 'static {
    /// Adds to what is counted, and lets the oldest of the same name go where there are too many. Returns how many went.
    ///
    /// # Errors
    /// As [`OpsError`]: drop and count them.
    async fn record_refused(&self, rows: &[RefusedSignInRow]) -> Result<u64, OpsError>;

    /// The newest, of one principal (an id) or of all.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn refused_sign_ins(&self, principal: Option<&str>, limit: u32) -> Result<Vec<RefusedSignInRow>, OpsError>;

    /// What went because a budget was full, by kind of record.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn let_go(&self) -> Result<Vec<LetGo>, OpsError>;
}
