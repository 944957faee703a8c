//! Commands: an event under the source `local`, then the fold's judgement of it (DESIGN 5, "The fold is the judge").
//! Decides nothing itself.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Refusal, RefusalKind};
use rollcall_eventlog::{AppendError, Outcome};
use rollcall_events::{Body, NewEvent, Position, SourceName, prefixed_id};

use crate::{
    caller::Asker,
    http::guard::{Api, applied},
    http::problem::{Answer, Kind, Problem},
    telemetry::CommandJudged,
};

/// How long a command waits for the fold, which is milliseconds behind the log when all is well.
const PATIENCE: Duration = Duration::from_secs(5);

/// A command that stands in the log and was not refused.
#[derive(Debug)]
pub(crate) struct Done {
    /// Where it stands.
    pub position: Position,
    /// `applied` or `no_change`.
    pub effect: Effect,
}

/// Appends `body` and waits for its effect.
pub(crate) async fn say(api: &Api, body: &Body, traceparent: Option<Arc<str>>) -> Answer<Done> {
    let done = say_all(api, std::slice::from_ref(body), traceparent.as_ref()).await?;
    done.into_iter()
        .next()
        .ok_or_else(|| Kind::Internal.because("A command was lost. Look at the log before sending it again."))
}

/// Appends commands together, all of them or none, and waits for the effect of each. The first that lost is told; the
/// others stand.
pub(crate) async fn say_all(api: &Api, bodies: &[Body], traceparent: Option<&Arc<str>>) -> Answer<Vec<Done>> {
    let now = api.clock.now();
    let mut events = Vec::with_capacity(bodies.len());
    for body in bodies {
        events.push(NewEvent {
            time: Some(now),
            traceparent: traceparent.cloned(),
            ..NewEvent::of(SourceName::local(), random_id("evt", now)?, body)
        });
    }
    let outcomes =
        if events.is_empty() { Vec::new() } else { api.append.append(events).await.map_err(not_appended)? };
    let positions: Vec<Position> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Recorded(position) => Some(*position),
            _ => None,
        })
        .collect();
    if positions.len() != bodies.len() {
        return Err(Kind::Internal.because("The log had the command's random id already. Send the command again."));
    }
    let effects = match positions.last() {
        Some(last) if applied(&*api.control, *last, PATIENCE).await => api.control.effects(&positions).await.ok(),
        _ => None,
    };
    let mut effects = effects.unwrap_or_default().into_iter();
    let judged: Vec<(&Body, Position, Option<Effect>)> =
        bodies.iter().zip(positions).map(|(body, position)| (body, position, effects.next().flatten())).collect();
    for (body, position, effect) in &judged {
        let effect = effect.as_ref().map_or("unknown", Effect::word);
        CommandJudged { kind: body.kind(), position: *position, effect }.emit();
    }
    judged.into_iter().map(|(_, position, effect)| told(position, effect)).collect()
}

/// What the fold said of a command.
fn told(position: Position, effect: Option<Effect>) -> Answer<Done> {
    match effect {
        Some(effect @ (Effect::Applied | Effect::NoChange)) => Ok(Done { position, effect }),
        Some(Effect::Refused(reason) | Effect::Parked(reason)) => {
            Err(Kind::Refused.because(format!("{reason}. Nothing was changed.")).at(position))
        }
        Some(Effect::Superseded) => Err(Kind::Refused
            .because("A later command about the same was there first. Nothing was changed; look at it and decide again.")
            .at(position)),
        None => Err(Kind::Unavailable
            .because(format!(
                "The command is recorded at position {position} and not judged yet. Look at /api/v1/events/{position} before you send it again."
            ))
            .at(position)
            .retry_after(1)),
    }
}

/// As [`refused`]. A removal states nothing that could be of a wrong shape: it is what is there that stands against it.
pub(crate) fn refused_of(body: &Body, refusal: &Refusal, asker: &Asker<'_>) -> Problem {
    let removes = matches!(
        body,
        Body::BindingRemoved(_)
            | Body::FolderRemoved(_)
            | Body::ProjectDeleted(_)
            | Body::ServiceRemoved(_)
            | Body::GroupRemoved(_)
            | Body::GroupMemberRemoved(_)
    );
    match refusal.kind {
        RefusalKind::Invalid if removes => Kind::Refused.because(format!("{refusal}. Nothing was recorded.")),
        _ => refused(refusal, asker),
    }
}

/// What a caller is told when the roster stands against a command: nothing was appended.
pub(crate) fn refused(refusal: &Refusal, asker: &Asker<'_>) -> Problem {
    let kind = match refusal.kind {
        // What the path and the body name was found before; this is a part of the body that is not there.
        RefusalKind::Unknown | RefusalKind::Invalid => Kind::InvalidBody,
        RefusalKind::Managed => Kind::ManagedProject,
        RefusalKind::NoRole => Kind::UnknownRole,
        RefusalKind::Beyond | RefusalKind::Forbidden => Kind::Forbidden,
        RefusalKind::LastHolder => Kind::LastHolder,
        RefusalKind::Taken => Kind::Taken,
    };
    // Whose the name is, is for those who may know that it exists.
    if kind == Kind::Taken && !asker.everywhere("project.list") {
        return kind.because("This name or id is in use or reserved; take another. Nothing was recorded.");
    }
    kind.because(format!("{refusal}. Nothing was recorded."))
}

/// What a caller is told when the log took nothing.
pub(crate) fn not_appended(error: AppendError) -> Problem {
    match error {
        AppendError::Overloaded { .. } => Kind::Overloaded
            .because(format!("Nothing was recorded: {error}. Send it again in a moment."))
            .retry_after(1),
        AppendError::Unavailable(_) => Problem::unavailable("Nothing was recorded", &error).retry_after(5),
    }
}

/// A random id such as `evt_0190..`.
pub(crate) fn random_id(prefix: &str, now: DateTime<Utc>) -> Answer<String> {
    Ok(prefixed_id(prefix, now, random()?))
}

/// Random bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> Answer<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Kind::Internal.because("No randomness is to be had. Nothing was changed."))?;
    Ok(bytes)
}
