//! Sign-ins that were refused: to whom, from where, why. What makes an owner notice that somebody guesses at the own name.

use chrono::{DateTime, Utc};
use rollcall_access::Principal;
use rollcall_store::ops::RefusedSignInRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, List, Reads,
    caller::forbidden,
    error::{Error, Result},
    find,
};

/// How many are shown; they are counted by hour, so that these are many.
const SHOWN: u32 = 500;
/// The action that seeing those of others demands.
const ACTION: &str = "decision.list";

/// Which refused sign-ins.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefusedSignInsQuery {
    /// Only of this user, by name or id, or of this service, as `service:id`.
    pub user: Option<String>,
}

/// Sign-ins that were refused within an hour, counted together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedSignIns {
    /// Whose name it was; `null` for names that nobody has, which are not kept.
    pub name: Option<String>,
    /// The user's or service's id.
    pub id: Option<String>,
    /// The client's address; its network where the name is nobody's.
    pub client: String,
    /// Of a directory's password: `wrong_password`; `locked`, `disabled`, `account_expired` or `not_now` (the account, in
    /// its directory, or as its source says); `password_expired` or `must_change` (it is right, and has to be changed
    /// first); `no_such_name`, `ambiguous_name` (several have it) or `name_taken` (it is another user's than the directory
    /// means). Else `former_name`, `wrong_secret`, `secret_ended` (it was the user's), `waiting` (too many wrong ones came
    /// before, and nothing was checked), `no_directory`, `shut_out` (nobody of the user is there any more; a secret is
    /// right) or `malformed`.
    pub cause: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: DateTime<Utc>,
    /// When last.
    pub last: DateTime<Utc>,
}

impl From<RefusedSignInRow> for RefusedSignIns {
    fn from(row: RefusedSignInRow) -> Self {
        let RefusedSignInRow { principal, name, client, cause, count, first_at, last_at } = row;
        Self { name, id: principal, client, cause, count, first: first_at, last: last_at }
    }
}

/// The newest refused sign-ins; whoever may not see those of others sees the own.
///
/// # Errors
/// There is no such user, or they cannot be read now.
pub async fn list(reads: &Reads, query: &RefusedSignInsQuery) -> Result<Answer<List<RefusedSignIns>>> {
    let (position, of) = {
        let roster = reads.live().read();
        let view = reads.view(&roster);
        let everybody = view.may_everywhere(ACTION);
        let own = view.itself().map(|itself| roster.caller_names(itself).0);
        if let Some(Principal::Limited(..)) = view.itself() {
            // From where somebody signs in is nothing that a secret of somebody else reaches.
            return Err(forbidden(ACTION));
        }
        let of = match &query.user {
            None if everybody => None,
            None => Some(own.unwrap_or_default()),
            Some(name) => {
                let found = find::principal(&roster, name).ok();
                let found = found.filter(|who| *who != Principal::Anyone && (everybody || view.is(*who)));
                Some(roster.caller_names(found.ok_or_else(find::no_such_user)?).0)
            }
        };
        (roster.position(), of)
    };
    let _turn = reads.list_turn().await?;
    let rows = reads.ops().refused_sign_ins(of.as_deref(), SHOWN).await;
    let rows = rows.map_err(|error| Error::unavailable("Refused sign-ins cannot be read", &error))?;
    Ok(Answer::of_more(position, List { items: rows.into_iter().map(RefusedSignIns::from).collect() }))
}
