//! The shapes of `access`'s own types for OpenAPI, as that crate knows nothing of it. What is sent are those types; a test
//! holds every answer against its shape.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// A reason for a role, with every fact that it rests on.
#[derive(ToSchema)]
#[schema(as = Reason)]
#[expect(dead_code, reason = "the shape of rollcall_access::Reason")]
pub(crate) struct ReasonShape {
    /// `producer` (rule 2), `customer` (rule 3), `group` (rule 4), `binding` (rule 5), `personal`, or `baseline`: what
    /// everybody has without a role.
    rule: String,
    /// The role that it gives; of a baseline `anyone` or `authenticated`, for whom it is.
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
    /// `producer`, `customer`, `group`, `binding` or `personal`.
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
    /// Of a caller whose secret somebody else made, where that is why it is a no: what the secret reaches, and what to do.
    reach: Option<String>,
    /// What was asked for, in actions of the profile.
    needs: Vec<String>,
    /// The roles that would do, by themselves.
    roles: Vec<String>,
    /// Every live reason for a role here, those that do not suffice included, and what the caller has without a role of
    /// what was asked for.
    reasons: Vec<ReasonShape>,
    /// Ways to a sufficient role that do not stand, the nearest first.
    near_misses: Vec<NearMissShape>,
    /// What takes something of it away from this caller, whatever the roles.
    ceilings: Vec<CeilingShape>,
    /// Each alone would make it a yes.
    would_allow: Vec<RemedyShape>,
    /// The events that said the profile and the settings by which it is answered.
    rules: Vec<CauseShape>,
}

/// A ceiling that acts on the caller.
#[derive(ToSchema)]
#[schema(as = Ceiling)]
#[expect(dead_code, reason = "the shape of rollcall_access::CeilingNote")]
pub(crate) struct CeilingShape {
    /// Its name in the profile.
    id: String,
    /// What it takes away of what was asked for.
    takes: Vec<String>,
    /// The switches, and what each says while it acts; none: always.
    when: std::collections::BTreeMap<String, String>,
    /// The roles from whose holders it takes nothing.
    exempt: Vec<String>,
    /// In words.
    text: String,
    /// The event that made it act: that turned a switch, or said the profile.
    cause: Option<CauseShape>,
}

/// What would make a no a yes, all of it together.
#[derive(ToSchema)]
#[schema(as = Remedy)]
#[expect(dead_code, reason = "the shape of rollcall_access::Remedy")]
pub(crate) struct RemedyShape {
    /// In words.
    text: String,
    /// What to do, in this order.
    steps: Vec<StepShape>,
}

/// One thing to be done.
#[derive(ToSchema)]
#[schema(as = Step)]
#[expect(dead_code, reason = "the shape of rollcall_access::Step")]
pub(crate) struct StepShape {
    /// `say` an event, `set` a switch of the profile, or `wait`.
    r#do: String,
    /// Of `say`: the source; `local` for a command.
    source: Option<String>,
    /// Of `say`: the event's type.
    r#type: Option<String>,
    /// Of `say`: what it has to say. What is not kept (labels, the kind of an account) is left out.
    #[schema(value_type = Option<Object>)]
    data: Option<String>,
    /// Of `set`: the switch.
    switch: Option<String>,
    /// Of `set`: what it has to say.
    value: Option<String>,
    /// Of `wait`: until when.
    until: Option<DateTime<Utc>>,
}

/// A role that somebody would have, or have no more.
#[derive(ToSchema)]
#[schema(as = MembershipChange)]
#[expect(dead_code, reason = "the shape of rollcall_access::MembershipChange")]
pub(crate) struct MembershipChangeShape {
    /// `"root"`, `{"folder": id}` or `{"project": name}`.
    #[schema(value_type = serde_json::Value)]
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
    /// `"root"`, `{"folder": id}` or `{"project": name}`.
    #[schema(value_type = serde_json::Value)]
    scope: String,
    /// A user's name, `service:` and an id, `anyone`, or `authenticated` for every signed-in caller.
    name: String,
    /// Actions of the access profile that appear.
    appear: Vec<String>,
    /// Actions of the access profile that disappear.
    disappear: Vec<String>,
}

/// Something about access that is there at one of two moments and not at the other.
#[derive(ToSchema)]
#[schema(as = AccessChange)]
#[expect(dead_code, reason = "the shape of rollcall_access::AccessChange")]
pub(crate) struct AccessChangeShape {
    /// The project's name.
    project: String,
    /// The user's name; `anyone` for somebody who did not sign in.
    name: String,
    /// The user's id.
    user: String,
    /// The role, or the action.
    what: String,
    /// Whether it appeared; else it disappeared.
    appeared: bool,
    /// The event that did it, where an event did.
    because: Vec<CauseShape>,
    /// The instant at which time did it, where time did.
    times: Vec<DateTime<Utc>>,
}
