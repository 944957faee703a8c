//! Registry secrets and the invitations that fetch one (DESIGN 9, "Credentials").
//! A secret is shown once: what is recorded is its SHA-256, and nothing here keeps the text.

use axum::{extract::Path, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use rollcall_access::{Principal, SecretView};
use rollcall_events::{
    Body, Digest, Id, Position, SchemaError, Sha256Hex,
    body::{self, Author, Invitation, Secret, SecretOwner, SecretRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    command::{random, random_id},
    http::guard::{Commands, Locked, Reads, Redeems},
    http::input::{self, Empty, Input},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::Fresh,
    http::reply::{self, Judged, List, RestsOn},
    routes::access::users::{find, user_id},
};

/// How long an invitation can be redeemed.
const INVITATION_LIFE: Duration = Duration::hours(24);

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new()
        .routes(routes!(list, issue))
        .routes(routes!(revoke))
        .routes(routes!(invite))
        .routes(routes!(redeem))
}

/// A secret or an open invitation that is in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretShown {
    /// Its id.
    id: String,
    /// Its label.
    label: Option<String>,
    /// When it was made.
    issued_at: DateTime<Utc>,
    /// The event that made it.
    #[schema(value_type = u64)]
    position: Position,
    /// Until when (exclusive) it is good; `null` without end.
    expires: Option<DateTime<Utc>>,
    /// A code that fetches a secret, not redeemed yet.
    invitation: bool,
}

impl SecretShown {
    pub fn of(view: &SecretView<'_>) -> Self {
        Self {
            id: view.id.to_owned(),
            label: view.label.map(str::to_owned),
            issued_at: view.issued_at,
            position: view.issued,
            expires: view.expires,
            invitation: view.invitation,
        }
    }
}

/// What a new secret is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// A label, at most 100 characters.
    #[serde(default)]
    label: Option<String>,
    /// Until when (exclusive) it is good. When absent: as long as the secret that the caller signs in with, without end
    /// where that has none. Later than that is refused.
    #[serde(default)]
    expires: Option<DateTime<Utc>>,
}

/// What a secret that an invitation fetches is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redemption {
    /// A label, at most 100 characters.
    #[serde(default)]
    label: Option<String>,
}

/// A new secret; shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretIssued {
    /// Its id.
    id: String,
    /// The secret: the password for `docker login`.
    secret: String,
    /// The name for `docker login`: the user's, or the service's id.
    user: String,
    /// Its label.
    label: Option<String>,
    /// Until when (exclusive) it is good.
    expires: Option<DateTime<Utc>>,
    /// The event that made it.
    #[schema(value_type = u64)]
    position: Position,
}

/// A new invitation; its code is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationIssued {
    /// Its id.
    id: String,
    /// The code: whoever has it can fetch one secret of the user, once.
    code: String,
    /// Where to redeem it, by POST.
    path: String,
    /// Until when (exclusive) it can be redeemed.
    expires: DateTime<Utc>,
    /// The event that made it.
    #[schema(value_type = u64)]
    position: Position,
}

/// The secrets and open invitations of a user that are in force; never their text.
#[utoipa::path(
    get, path = "/api/v1/users/{name}/secrets", tag = "users", operation_id = "secrets",
    params(("name" = String, Path, description = "The user's name or id"), Fresh),
    responses((status = 200, body = List<SecretShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads, Path(name): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let (position, items) = {
        let roster = reads.live().read();
        let user = find(&roster, &name)?;
        (roster.position(), roster.secrets_of(user, now).iter().map(SecretShown::of).collect())
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}

/// Makes a registry secret for a user and shows it, this once. It never outlives the secret that the caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/secrets", tag = "users", operation_id = "secret_issue",
    params(("name" = String, Path, description = "The user's name or id")), request_body = NewSecret,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn issue(orders: Commands, Path(name): Path<String>, Input(new): Input<NewSecret>) -> Answer<Response> {
    let owner = user_id(&orders, &name)?;
    let (text, secret) = self::new(&orders, SecretOwner::User(owner.clone()), new)?;
    let done = orders.say(&Body::SecretIssued(secret.clone())).await?;
    let user = {
        // One guard: a second one, asked for while a fold waits for the first, would wait for the fold for ever.
        let roster = orders.live().read();
        roster.user_by_id(owner.as_str()).map(|user| roster.user_name(user).to_owned())
    };
    show_once(secret, text, user.unwrap_or(name), done.position)
}

/// Ends a secret or an open invitation; it signs nobody in from that position on.
#[utoipa::path(
    delete, path = "/api/v1/users/{name}/secrets/{id}", tag = "users", operation_id = "secret_revoke",
    params(("name" = String, Path, description = "The user's name or id"), ("id" = String, Path, description = "The secret's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn revoke(orders: Commands, Path((name, id)): Path<(String, String)>) -> Answer<Response> {
    let now = orders.now();
    let secret: Id = {
        let roster = orders.live().read();
        let user = find(&roster, &name)?;
        let own = roster.secrets_of(user, now).iter().any(|secret| secret.id == id);
        id.parse().ok().filter(|_| own).ok_or_else(|| {
            Kind::UnknownSecret
                .because("This user has no such secret in force. Its path without the last part lists them.")
        })?
    };
    reply::judged(
        StatusCode::OK,
        &orders.say(&Body::SecretRevoked(SecretRef { secret, author: Some(orders.author()) })).await?,
    )
}

/// Makes a single-use code with which the user fetches one secret within 24 hours. Neither outlives the secret that the
/// caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/invitations", tag = "users", operation_id = "invite",
    params(("name" = String, Path, description = "The user's name or id")),
    responses((status = 201, body = InvitationIssued), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn invite(orders: Commands, Path(name): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let code = secret_text("rci")?;
    let soon = orders.now() + INVITATION_LIFE;
    let invitation = Invitation {
        secret: new_id("inv", orders.now())?,
        user: user_id(&orders, &name)?,
        sha256: hash(&code),
        expires: orders.until().map_or(soon, |until| until.min(soon)),
        author: Some(orders.author()),
        made_with: orders.made_with(),
    };
    let (id, expires) = (invitation.secret.to_string(), invitation.expires);
    let done = orders.say(&Body::SecretInvited(invitation)).await?;
    let path = format!("/api/v1/invitations/{code}");
    let body = InvitationIssued { id, code, path, expires, position: done.position };
    reply::done(StatusCode::CREATED, Some(done.position), &body)
}

/// Redeems an invitation: makes one secret and shows it, this once. The code is the credential.
#[utoipa::path(
    post, path = "/api/v1/invitations/{code}", tag = "users", operation_id = "redeem", security(()),
    params(("code" = String, Path, description = "The invitation's code")), request_body = Redemption,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn redeem(redeems: Redeems, Path(code): Path<String>, Input(new): Input<Redemption>) -> Answer<Response> {
    let now = redeems.now();
    let over = || {
        Kind::UnknownInvitation
            .because("The code is unknown, redeemed already or older than 24 hours. Ask for a new invitation.")
    };
    let (owner, invitation, user, expires) = {
        let roster = redeems.live().read();
        let found = roster.invitation(&Digest::of(code.as_bytes()).0, now).ok_or_else(over)?;
        let Principal::User(user) = found.principal else { return Err(over()) };
        (roster.user_id(user), found.secret.to_owned(), roster.user_name(user).to_owned(), found.until)
    };
    let text = secret_text("rcs")?;
    let owner: rollcall_events::Id = owner.parse().map_err(|_| over())?;
    let secret = Secret {
        secret: new_id("sec", now)?,
        owner: SecretOwner::User(owner.clone()),
        sha256: hash(&text),
        label: input::label("/label", new.label)?,
        expires,
        invitation: Some(invitation.parse().map_err(|_| over())?),
        author: Some(Author::of(&body::Principal::User(owner))),
        made_with: None,
    };
    let done = redeems.issue(secret.clone()).await.map_err(|problem| match problem.kind() {
        // Somebody was quicker with the same code: the fold refused the second.
        Kind::Refused => over(),
        _ => problem,
    })?;
    show_once(secret, text, user, done.position)
}

/// A secret that is to be recorded, and its text.
pub(crate) fn new(orders: &Commands, owner: SecretOwner, new: NewSecret) -> Answer<(String, Secret)> {
    let NewSecret { label, expires } = new;
    if expires.is_some_and(|expires| expires <= orders.now()) {
        let error = SchemaError::at("/expires", "an instant in the future");
        return Err(Kind::InvalidBody.because("The secret would be over before it is made.").with_error(error));
    }
    // Whoever got at a secret that ends keeps nothing that lasts longer.
    if let (Some(asked), Some(own)) = (expires, orders.until())
        && asked > own
    {
        let own = own.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let error = SchemaError::at("/expires", format!("an instant not after {own}, or nothing"));
        let text = format!("The secret that you sign in with ends at {own}, and what it makes ends no later.");
        return Err(Kind::InvalidBody.because(format!("{text} Nothing was recorded.")).with_error(error));
    }
    let expires = expires.or_else(|| orders.until());
    let text = secret_text("rcs")?;
    let secret = Secret {
        secret: new_id("sec", orders.now())?,
        owner,
        sha256: hash(&text),
        label: input::label("/label", label)?,
        expires,
        invitation: None,
        author: Some(orders.author()),
        made_with: orders.made_with(),
    };
    Ok((text, secret))
}

pub(crate) fn show_once(made: Secret, secret: String, user: String, position: Position) -> Answer<Response> {
    let Secret { secret: id, label, expires, .. } = made;
    let body = SecretIssued { id: id.to_string(), secret, user, label, expires, position };
    reply::done(StatusCode::CREATED, Some(position), &body)
}

/// 256 random bits with a prefix by which leaked ones can be found.
fn secret_text(prefix: &str) -> Answer<String> {
    Ok(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

fn hash(text: &str) -> Sha256Hex {
    Sha256Hex(Digest::of(text.as_bytes()).0)
}

fn new_id(prefix: &str, now: DateTime<Utc>) -> Answer<Id> {
    let id = random_id(prefix, now)?;
    id.parse().map_err(|_| Kind::Internal.because("An id could not be made. Nothing was changed."))
}
