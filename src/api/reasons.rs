//! The shapes of reasons for OpenAPI. What is sent are access's own types; the contract test holds the two together.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// A reason for a role, with every fact that it rests on.
#[derive(ToSchema)]
#[schema(as = Reason)]
#[expect(dead_code, reason = "the shape of rollcall_access::Reason")]
pub(crate) struct ReasonShape {
    /// `producer` (rule 2), `customer` (rule 3) or `binding` (rule 5).
    rule: String,
    /// The role that it gives.
    role: String,
    /// What names it: the line, the producer account, the binding.
    name: String,
    /// In words.
    text: String,
    /// The events that it rests on, the telling one first.
    facts: Vec<CauseShape>,
    /// When it ends by itself.
    until: Option<DateTime<Utc>>,
}

/// An event that a reason rests on, or that ended one.
#[derive(ToSchema)]
#[schema(as = Cause)]
#[expect(dead_code, reason = "the shape of rollcall_access::Cause")]
pub(crate) struct CauseShape {
    /// The event's position in the log.
    position: u64,
    /// The source that said it.
    source: String,
    /// What it is about.
    subject: String,
}

/// A way to a role that does not stand: the reason as if it stood, and what stands in its way.
#[derive(ToSchema)]
#[schema(as = NearMiss)]
#[expect(dead_code, reason = "the shape of rollcall_access::NearMiss")]
pub(crate) struct NearMissShape {
    /// `producer`, `customer` or `binding`.
    rule: String,
    /// The role that it would give.
    role: String,
    /// What names it.
    name: String,
    /// In words.
    text: String,
    /// The events that it rests on.
    facts: Vec<CauseShape>,
    /// When it would end by itself.
    until: Option<DateTime<Utc>>,
    /// Everything that stands in the way.
    obstacles: Vec<ObstacleShape>,
}

/// What stands in the way of a role.
#[derive(ToSchema)]
#[schema(as = Obstacle)]
#[expect(dead_code, reason = "the shape of rollcall_access::Obstacle")]
pub(crate) struct ObstacleShape {
    /// `ended`: it was otherwise once; `not_yet`: it will be; `never`: it never was.
    standing: String,
    /// In words.
    text: String,
    /// What would take it away.
    remedy: String,
    /// The event that put it there; `null` where nothing was ever said, or where time did it.
    cause: Option<CauseShape>,
    /// The instant at which time did it, or will undo it.
    at: Option<DateTime<Utc>>,
}

/// An answer with its grounds.
#[derive(ToSchema)]
#[schema(as = Explanation)]
#[expect(dead_code, reason = "the shape of rollcall_access::Explanation")]
pub(crate) struct ExplanationShape {
    /// Yes or no.
    allowed: bool,
    /// The position as of which it is answered.
    position: u64,
    /// The instant for which it is answered.
    at: DateTime<Utc>,
    /// When the yes ends by itself.
    until: Option<DateTime<Utc>>,
    /// What was asked for, in actions of the profile.
    needs: Vec<String>,
    /// The roles that would do, by themselves.
    roles: Vec<String>,
    /// Every live reason for a role here, those that do not suffice included.
    reasons: Vec<ReasonShape>,
    /// Ways to a sufficient role that do not stand, the nearest first.
    near_misses: Vec<NearMissShape>,
    /// Each line alone would make it a yes.
    would_allow: Vec<String>,
}

/// A role that somebody would have, or have no more.
#[derive(ToSchema)]
#[schema(as = MembershipChange)]
#[expect(dead_code, reason = "the shape of rollcall_access::MembershipChange")]
pub(crate) struct MembershipChangeShape {
    /// `"root"`, `{"container": id}` or `{"project": name}`.
    #[schema(value_type = Object)]
    scope: String,
    /// A user's name, or `service:` and an id.
    name: String,
    /// The id.
    user: String,
    /// Which role.
    role: String,
    /// Whether it appears; else it disappears.
    appears: bool,
}

/// What somebody could do, or no more.
#[derive(ToSchema)]
#[schema(as = ActionChange)]
#[expect(dead_code, reason = "the shape of rollcall_access::ActionChange")]
pub(crate) struct ActionChangeShape {
    /// `"root"`, `{"container": id}` or `{"project": name}`.
    #[schema(value_type = Object)]
    scope: String,
    /// A user's name, `service:` and an id, `anyone`, or `authenticated` for every signed-in caller.
    name: String,
    /// Actions of the access profile that appear.
    appear: Vec<String>,
    /// Actions of the access profile that disappear.
    disappear: Vec<String>,
}
