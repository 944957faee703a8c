//! Registry secrets and the invitations that fetch one (DESIGN 9, "Credentials").
//! A secret is shown once: what is recorded is its SHA-256, and nothing here keeps the text.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use rollcall_access::{MadeView, PersonView, Principal, Roster, SecretView, UserIx};
use rollcall_events::{
    Body, Digest, Id, Position, SchemaError, Sha256Hex,
    body::{self, Author, Invitation, Secret, SecretOwner, SecretRef},
    time::{self, for_people},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, App, CommandOutcome, Commands, List, Reads,
    access::users::command_id,
    caller::CallerView,
    commands::{self, Origin},
    error::{Error, ErrorKind, Result},
    find, input, prefix,
    random::{random, random_id},
};

/// How long an invitation can be redeemed.
const INVITATION_LIFETIME: Duration = Duration::hours(24);

/// A secret or an open invitation that is in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretShown {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: Option<String>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// The event that made it.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Until when (exclusive) it is good; `null` without end.
    pub expires: Option<DateTime<Utc>>,
    /// A code that fetches a secret, not redeemed yet.
    pub invitation: bool,
    /// Who made it: a user's id, or `service:` and a service's; `null` for an administrator.
    #[serde(default)]
    pub maker: Option<String>,
    /// Of one that somebody else made: the sources whose facts it reaches, every source when empty. Absent where it reaches
    /// as far as its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Vec<String>>,
    /// Its maker serves none of the sources any more that it was made for: it signs in and reaches nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reaches_nothing: bool,
    /// The persons whose it could be were parted since: it signs nobody in, until they are one user again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parted: bool,
}

impl SecretShown {
    pub(crate) fn of(roster: &Roster, view: &SecretView<'_>) -> Self {
        Self {
            id: view.id.to_owned(),
            label: view.label.map(str::to_owned),
            issued_at: view.issued_at,
            position: view.issued,
            expires: view.expires,
            invitation: view.invitation,
            maker: view.maker.map(|maker| roster.caller_names(maker).0),
            reach: view.reach.as_ref().map(|sources| sources.iter().map(|&source| source.to_owned()).collect()),
            reaches_nothing: view.reaches_nothing,
            parted: view.parted,
        }
    }
}

/// What a new secret is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// A label, at most 100 characters.
    #[serde(default)]
    pub label: Option<String>,
    /// Until when (exclusive) it is good. When absent: as long as the secret that the caller signs in with, without end
    /// where that has none. Later than that is refused.
    #[serde(default, deserialize_with = "time::nullable")]
    pub expires: Option<DateTime<Utc>>,
}

/// What a secret that an invitation fetches is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redemption {
    /// A label, at most 100 characters.
    #[serde(default)]
    pub label: Option<String>,
}

/// The registry that secrets are good for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegistryShown {
    /// As its clients name it: what to give `docker login`. `null` where `token.registry` is not set.
    pub host: Option<String>,
}

/// A new secret; shown this once, and by no `Debug`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretIssued {
    /// Its id.
    pub id: String,
    /// The secret: the password for `docker login`.
    pub secret: String,
    /// The name for `docker login`: the user's, or the service's id.
    pub user: String,
    /// Its label.
    pub label: Option<String>,
    /// Until when (exclusive) it is good.
    pub expires: Option<DateTime<Utc>>,
    /// Why it signs nobody in now, where its owner is shut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_out: Option<String>,
    /// The event that made it.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl fmt::Debug for SecretIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretIssued").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A new invitation; its code is shown this once, and by no `Debug`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct InvitationIssued {
    /// Its id.
    pub id: String,
    /// The code: whoever has it can fetch one secret of the user, once.
    pub code: String,
    /// Where to redeem it, by POST.
    pub path: String,
    /// Until when (exclusive) it can be redeemed.
    pub expires: DateTime<Utc>,
    /// Why a secret that it fetches signs nobody in now, where the user is shut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_out: Option<String>,
    /// The event that made it.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl fmt::Debug for InvitationIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvitationIssued").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A thing that a secret made and that is there still.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeShown {
    /// `secret`, `invitation`, `binding`, `service`, `member`, `group`, `folder` or `project`.
    pub kind: String,
    /// Its id, or name; of a binding and a membership the subject of its events.
    pub id: String,
    /// Whose it is, or who is in it.
    pub whose: Option<String>,
    /// Until when (exclusive) it stands by itself.
    pub until: Option<DateTime<Utc>>,
    /// The event that made it.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The secret that it was made with: the one that is asked about, or one that that one made.
    pub made_with: String,
    /// `kept`; `ended`; or why it could not be ended.
    pub outcome: String,
}

/// What is to become of what a secret made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhatItMade {
    /// It stays, and is listed.
    #[default]
    Keep,
    /// It ends too; projects, folders and groups stay, which give nobody anything by themselves.
    End,
}

impl FromStr for WhatItMade {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "keep" => Ok(Self::Keep),
            "end" => Ok(Self::End),
            _ => Err(()),
        }
    }
}

/// A secret that was ended, and what it had made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretRevoked {
    /// Where the command stands.
    #[serde(flatten)]
    pub outcome: CommandOutcome,
    /// What it made that was there still, and what became of it.
    pub made: Vec<MadeShown>,
}

impl SecretIssued {
    pub(crate) fn of(issued: Secret, text: String, user: String, position: Position) -> Self {
        let Secret { secret: id, label, expires, .. } = issued;
        Self { id: id.to_string(), secret: text, user, label, expires, shut_out: None, position }
    }
}

/// The registry that secrets are good for, as its clients name it.
#[must_use]
pub fn registry(reads: &Reads) -> Answer<RegistryShown> {
    Answer::of_more(reads.applied(), RegistryShown { host: reads.registry().map(str::to_owned) })
}

/// Why a user signs in nowhere now, as far as the caller sees the persons that it is.
fn why_shut_out(roster: &Roster, user: UserIx, caller: &CallerView<'_>) -> Option<String> {
    let view = roster.user(user);
    let who = caller.within_reach(user.into());
    let reason = |person: &PersonView<'_>| {
        let PersonView { source, person: id, .. } = person;
        Some(match person {
            PersonView { removed: true, .. } => format!("{source} has no {id} any more"),
            PersonView { suspended: true, .. } => format!("the source {source} is suspended"),
            PersonView { active: false, .. } => format!("{source} calls {id} inactive"),
            _ => return None,
        })
    };
    let seen = view.persons.iter().filter(|person| roster.reaches_source(who, person.source));
    let reasons: Vec<String> = seen.filter_map(reason).collect();
    let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    view.shut_out.then(|| format!("{} is shut out and signs in nowhere{because}", view.name))
}

/// The secrets and open invitations of a user that are in force; never their text. Whoever serves the user without being
/// the user or an auditor sees those that it made.
///
/// # Errors
/// There is no such user.
pub fn list(reads: &Reads, user: &str) -> Result<Answer<List<SecretShown>>> {
    let roster = reads.live().view();
    let view = reads.view(&roster);
    let secrets = view.secrets(find::user(&roster, user)?);
    let items = secrets.iter().map(|secret| SecretShown::of(&roster, secret)).collect();
    Ok(Answer::of_more(roster.position(), List { items }))
}

/// Makes a registry secret for a user, shown this once. It never outlives the secret that the caller signs in with.
///
/// # Errors
/// There is no such user, what is asked for does not fit, or the command was refused.
pub async fn issue(commands: Commands, user: &str, new: NewSecret) -> Result<SecretIssued> {
    let owner = command_id(&commands, user)?;
    let (text, secret) = generate(&commands, SecretOwner::User(owner.clone()), new)?;
    let outcome = commands.append(&Body::SecretIssued(secret.clone())).await?;
    let (name, shut_out) = {
        // One guard: a second one, asked for while a fold waits for the first, would wait for the fold for ever.
        let roster = commands.live().read();
        let owner = roster.user_by_id(owner.as_str());
        let name = owner.map(|user| roster.user_name(user).to_owned());
        (name, owner.and_then(|user| why_shut_out(&roster, user, &commands.view(&roster))))
    };
    let issued = SecretIssued::of(secret, text, name.unwrap_or_else(|| user.to_owned()), outcome.position);
    Ok(SecretIssued { shut_out, ..issued })
}

/// What a secret of a user made, and what that made in turn, as far as it is there still: what can end with it.
///
/// # Errors
/// There is no such secret that the caller sees.
pub fn made(reads: &Reads, user: &str, id: &str) -> Result<Answer<List<MadeShown>>> {
    let roster = reads.live().view();
    let user = find::user(&roster, user)?;
    let view = reads.view(&roster);
    let id = whole_id(&view.secrets(user), id)?;
    let seen = view.sees_secret(user.into(), &id);
    seen.then(|| made_with(reads, &roster, &id)).ok_or_else(|| unknown_secret(&id))
}

/// The id of one of these secrets that is meant by its beginning; of any other text that itself.
pub(crate) fn whole_id(secrets: &[SecretView<'_>], text: &str) -> Result<String> {
    let begins: Vec<String> = ["sec", "inv"].into_iter().filter_map(|kind| prefix::of_kind(kind, text)).collect();
    let is_meant = |id: &str| id == text || begins.iter().any(|begins| id.starts_with(begins));
    let found = secrets.iter().filter(|secret| is_meant(secret.id)).map(|secret| (secret.id.to_owned(), secret.id));
    let unknown = || unknown_secret(text);
    match prefix::the_one(text, found, unknown) {
        Ok(id) => Ok(id.to_owned()),
        Err(error) if error.kind == ErrorKind::UnknownSecret => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

pub(crate) fn made_with(reads: &Reads, roster: &Roster, id: &str) -> Answer<List<MadeShown>> {
    let made = roster.made_with(id, (&Author::operator(), None), reads.now());
    let items = made.iter().map(|made| MadeShown::of(made, "kept".to_owned())).collect();
    Answer::of_more(roster.position(), List { items })
}

impl MadeShown {
    fn of(made: &MadeView, outcome: String) -> Self {
        Self {
            kind: made.kind.as_str().to_owned(),
            id: made.id.clone(),
            whose: made.whose.clone(),
            until: made.until,
            position: made.position,
            made_with: made.made_with.clone(),
            outcome,
        }
    }
}

fn unknown_secret(id: &str) -> Error {
    ErrorKind::UnknownSecret.because(format!(
        "This user has no such secret in force. Its path without the last part lists them.{}",
        find::only_looks_like(id)
    ))
}

/// Ends a secret or an open invitation of a user; it signs nobody in from that position on. What it made stays unless the
/// caller says otherwise, and is listed.
///
/// # Errors
/// There is no such secret in force, or the command was refused.
pub async fn revoke(commands: Commands, user: &str, id: &str, what_it_made: WhatItMade) -> Result<SecretRevoked> {
    let secret: Id = {
        let roster = commands.live().view();
        let user = find::user(&roster, user)?;
        let view = commands.view(&roster);
        // What it made can also be ended afterwards.
        let secrets = view.secrets(user);
        let id = whole_id(&secrets, id)?;
        let own = secrets.iter().any(|secret| secret.id == id)
            || (what_it_made == WhatItMade::End && view.sees_secret(user.into(), &id));
        id.parse().ok().filter(|_| own).ok_or_else(|| unknown_secret(&id))?
    };
    end(commands, secret, what_it_made).await
}

/// Ends a secret first and what it made then, so that it makes nothing more meanwhile.
pub(crate) async fn end(commands: Commands, secret: Id, what_it_made: WhatItMade) -> Result<SecretRevoked> {
    let (author, with) = (commands.author(), commands.made_with());
    let body = SecretRef { secret: secret.clone(), author: Some(author.clone()), made_with: with.clone() };
    let body = Body::SecretRevoked(body);
    let made = |commands: &Commands| {
        commands.live().view().made_with(secret.as_str(), (&author, with.as_ref()), commands.now())
    };
    // With the very secret that ends nothing can be done afterwards.
    let before = with.as_ref() == Some(&secret);
    let mut outcome = if before { None } else { Some(commands.append(&body).await?) };
    let mut rows = Vec::new();
    for made in made(&commands) {
        let became = match (what_it_made, &made.removal) {
            (WhatItMade::Keep, _) | (_, None) => "kept".to_owned(),
            (WhatItMade::End, Some(removal)) => match commands.append(removal).await {
                Ok(_) => "ended".to_owned(),
                Err(error) => error.detail,
            },
        };
        rows.push(MadeShown::of(&made, became));
    }
    if before {
        outcome = Some(commands.append(&body).await?);
    }
    let outcome = outcome.ok_or_else(|| ErrorKind::Internal.because("The secret was not ended. Send it again."))?;
    Ok(SecretRevoked { outcome, made: rows })
}

/// Makes a single-use code with which the user fetches one secret within 24 hours. Neither outlives the secret that the
/// caller signs in with.
///
/// # Errors
/// There is no such user, or the command was refused.
pub async fn invite(commands: Commands, user: &str) -> Result<InvitationIssued> {
    let code = secret_text("rci")?;
    let soon = commands.now() + INVITATION_LIFETIME;
    let owner = command_id(&commands, user)?;
    let invitation = Invitation {
        secret: new_id("inv", commands.now())?,
        user: owner.clone(),
        sha256: hash(&code),
        expires: commands.credentials_end().map_or(soon, |end| end.min(soon)),
        author: Some(commands.author()),
        made_with: commands.made_with(),
    };
    let (id, expires) = (invitation.secret.to_string(), invitation.expires);
    let outcome = commands.append(&Body::SecretInvited(invitation)).await?;
    let path = format!("/api/v1/invitations/{code}");
    let shut_out = {
        let roster = commands.live().read();
        let user = roster.user_by_id(owner.as_str());
        user.and_then(|user| why_shut_out(&roster, user, &commands.view(&roster)))
    };
    Ok(InvitationIssued { id, code, path, expires, shut_out, position: outcome.position })
}

/// Redeems an invitation: makes one secret, shown this once. The code is the credential, so nobody is admitted for it.
///
/// # Errors
/// The code is unknown, redeemed or too old; or the label does not fit.
pub async fn redeem(app: &App, code: &str, redemption: Redemption, origin: &Origin) -> Result<SecretIssued> {
    let now = app.now();
    let over = || {
        ErrorKind::UnknownInvitation
            .because("The code is unknown, redeemed already or older than 24 hours. Ask for a new invitation.")
    };
    let (owner, invitation, user, expires) = {
        let roster = app.live.read();
        let found = roster.invitation(&Digest::of(code.as_bytes()).0, now).ok_or_else(over)?;
        let (Principal::User(user) | Principal::Limited(user, _)) = found.principal else { return Err(over()) };
        (roster.user_id(user), found.secret.to_owned(), roster.user_name(user).to_owned(), found.until)
    };
    let text = secret_text("rcs")?;
    let owner: Id = owner.parse().map_err(|_| over())?;
    let secret = Secret {
        secret: new_id("sec", now)?,
        owner: SecretOwner::User(owner.clone()),
        sha256: hash(&text),
        label: input::label("/label", redemption.label)?,
        expires,
        invitation: Some(invitation.parse().map_err(|_| over())?),
        author: Some(Author::of(&body::Principal::User(owner))),
        made_with: None,
    };
    let outcome = commands::append(app, &Body::SecretIssued(secret.clone()), origin).await;
    let outcome = outcome.map_err(|error| match error.kind {
        // Somebody was quicker with the same code: the fold refused the second.
        ErrorKind::Refused => over(),
        _ => error,
    })?;
    Ok(SecretIssued::of(secret, text, user, outcome.position))
}

/// When something ends that the caller makes: as asked for, and no later than what the caller signs in with.
pub(crate) fn end_within(
    pointer: &str,
    asked: Option<DateTime<Utc>>,
    commands: &Commands,
) -> Result<Option<DateTime<Utc>>> {
    if asked.is_some_and(|asked| asked <= commands.now()) {
        let error = SchemaError::at(pointer, "an instant in the future");
        return Err(ErrorKind::InvalidBody.because("It would be over before it is made.").with_field(error));
    }
    // Whoever got at a secret that ends keeps nothing that lasts longer.
    if let (Some(asked), Some(own)) = (asked, commands.credentials_end())
        && asked > own
    {
        let own = for_people(own);
        let error = SchemaError::at(pointer, format!("an instant not after {own}, or nothing"));
        let text = format!("The secret that you sign in with ends at {own}, and what it makes ends no later.");
        return Err(ErrorKind::InvalidBody.because(format!("{text} Nothing was recorded.")).with_field(error));
    }
    Ok(asked.or_else(|| commands.credentials_end()))
}

/// A secret that is to be recorded, and its text.
pub(crate) fn generate(commands: &Commands, owner: SecretOwner, new: NewSecret) -> Result<(String, Secret)> {
    let NewSecret { label, expires } = new;
    let expires = end_within("/expires", expires, commands)?;
    let text = secret_text("rcs")?;
    let secret = Secret {
        secret: new_id("sec", commands.now())?,
        owner,
        sha256: hash(&text),
        label: input::label("/label", label)?,
        expires,
        invitation: None,
        author: Some(commands.author()),
        made_with: commands.made_with(),
    };
    Ok((text, secret))
}

/// 256 random bits with a prefix by which leaked ones can be found.
fn secret_text(prefix: &str) -> Result<String> {
    Ok(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

fn hash(text: &str) -> Sha256Hex {
    Sha256Hex(Digest::of(text.as_bytes()).0)
}

fn new_id(prefix: &str, now: DateTime<Utc>) -> Result<Id> {
    let id = random_id(prefix, now)?;
    id.parse().map_err(|_| ErrorKind::Internal.because("An id could not be made. Nothing was changed."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_once_is_never_printed() {
        let (at, position) = (DateTime::UNIX_EPOCH, Position(1));
        let (id, text) = ("sec_1".to_owned(), "canary".to_owned());
        let (label, expires) = (None, None);
        let secret = SecretIssued {
            id: id.clone(),
            secret: text.clone(),
            user: "ada".into(),
            label,
            expires,
            shut_out: None,
            position,
        };
        let invitation = InvitationIssued { id, code: text.clone(), path: text, expires: at, shut_out: None, position };
        assert!(!format!("{secret:?} {invitation:?}").contains("canary"));
    }
}
