//! Whether a source may say this, the same for every format: type, emitter, schema, subject, order key.
//! Cuts personal data out before anything is compared or stored. Pure; knows no log and no inbox.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Digest, Emitter, EventKey, Id, NewEvent, Newer, Order, SourceName, json, size,
    time::{FORM, MAX_AHEAD, for_people},
};
use serde::Deserialize;

use crate::{
    connector::{MappedEvent, Problem, ProblemType, SenderId, clipped},
    delivery::model::DeliveryId,
    personal::{Personal, micros},
};

/// An event that may be appended, and what must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidEvent {
    /// The event, without personal data.
    pub event: NewEvent,
    /// What was cut out of it.
    pub personal: Option<Personal>,
    /// What only a later version knows and was left out, as JSON pointers.
    pub left_out: Vec<String>,
}

/// The member `personal` of a person's data in the canonical form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonalMember {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

/// The highest version that counts. The next number is the highest that databases and senders keep with a sign: what is
/// sent for no version at all, and nothing could come after it.
const MAX_SEQUENCE: u64 = (u64::MAX >> 1) - 1;

const PERSON: &str = "rollcall.person.upserted.v1";

/// Makes an event that may be appended, or says why not. `now` is our clock, which bounds the time that orders events.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(
    source: &SourceName,
    order: Order,
    delivery: &DeliveryId,
    received_at: DateTime<Utc>,
    now: DateTime<Utc>,
    event: MappedEvent,
) -> Result<ValidEvent, Problem> {
    use ProblemType::{
        ImplausibleOrderKey, InvalidData, InvalidEnvelope, MissingOrderKey, NotYours, SubjectMismatch, UnknownType,
    };

    let stated = event.id.text().map(str::parse::<Id>).transpose();
    let stated = stated.map_err(|error| Problem::at(InvalidEnvelope, "/id", error))?;
    if stated.is_some_and(|id| id.as_str().starts_with(GIVEN_ID)) && matches!(event.id, SenderId::OfEvent(_)) {
        let detail =
            format!("an id does not begin with `{GIVEN_ID}`: such ids are given here, to events that come without one");
        return Err(Problem::at(InvalidEnvelope, "/id", detail));
    }
    match Body::emitter_of(&event.kind) {
        Some(Emitter::Connector | Emitter::ConnectorOrCommand) => {}
        Some(_) => {
            let detail = format!("`{}` is not for a source to say; it is recorded by Rollcall itself", event.kind);
            return Err(Problem::at(NotYours, "/type", detail));
        }
        None => {
            // Clipped: the search for the nearest type is quadratic.
            let error = Body::parse(&clipped(event.kind.clone(), 100), "").err();
            let detail = error.map_or_else(String::new, |error| error.expected);
            return Err(Problem::at(UnknownType, "/type", detail));
        }
    }
    let (data, personal) = if event.kind == PERSON { cut_personal(&event.data)? } else { (event.data, None) };
    let read = if event.minor > Body::minor_of(&event.kind) {
        Body::of_newer(&event.kind, &data)
    } else {
        Body::parse_new(&event.kind, &data).map(|body| Newer { body, data, left_out: Vec::new() })
    };
    let Newer { body, data, left_out } = read.map_err(|error| Problem::of(InvalidData, error))?;
    if event.origin.as_ref().is_some_and(|origin| origin.len() > size::ORIGIN) {
        return Err(Problem::at(
            InvalidEnvelope,
            "/source",
            format!("`source` has at most {} characters", size::ORIGIN),
        ));
    }
    let subject = body.subject();
    if event.subject.as_ref().is_some_and(|stated| *stated != subject) {
        let detail = format!("the data is about `{subject}`: state that as the subject, or state none");
        return Err(Problem::at(SubjectMismatch, "/subject", detail));
    }
    // Leap seconds and nanoseconds have no place in the log; without this a redelivery would look like a conflict.
    let time = event.time.and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros()));
    let order_key = match (order, event.sequence, time) {
        (Order::Version, Some(sequence), _) if sequence > MAX_SEQUENCE => {
            let detail = format!(
                "`sequence` is {sequence}, and nothing could come after it: at most {MAX_SEQUENCE} is taken. Send the \
                 version that the subject has"
            );
            return Err(Problem::at(ImplausibleOrderKey, "/sequence", detail));
        }
        (Order::Time, _, Some(time)) if time > now + MAX_AHEAD => {
            let detail = format!(
                "`time` is {}, and our clock says {}: what comes until then would be taken for older. At most {} s ahead \
                 are taken; set the sender's clock right and send it again",
                for_people(time),
                for_people(now),
                MAX_AHEAD.num_seconds()
            );
            return Err(Problem::at(ImplausibleOrderKey, "/time", detail));
        }
        (Order::Version, Some(sequence), _) => format!("{sequence:020}"),
        (Order::Time, _, Some(time)) => micros(time),
        (Order::Observed, _, _) => micros(received_at),
        (Order::Version, None, _) => {
            let detail =
                format!("source `{source}` is ordered by version: send `sequence`, a whole number, such as 10");
            return Err(Problem::at(MissingOrderKey, "/sequence", detail));
        }
        (Order::Time, _, None) => {
            let detail = format!("source `{source}` is ordered by time: send `time`, {FORM}");
            return Err(Problem::at(MissingOrderKey, "/time", detail));
        }
    };
    let personal = match (personal, &body) {
        (Some(PersonalMember { email, name }), Body::PersonUpserted(person)) => {
            Some(Personal { person: person.person.clone(), email, name, order_key: order_key.clone() })
        }
        _ => None,
    };
    let id = match event.id {
        SenderId::OfEvent(id) => id.into(),
        SenderId::OfNotification(id) => {
            let id: Id = notification_id(&subject, &id, &event.kind, 0)
                .parse()
                .map_err(|error| Problem::at(InvalidEnvelope, "/id", error))?;
            id.as_str().into()
        }
        SenderId::None => statement_id(&subject, &event.kind, &data, (order != Order::Observed).then_some(&order_key)),
    };
    let event = NewEvent {
        key: EventKey { source: source.clone(), id },
        kind: event.kind.into(),
        subject: subject.into(),
        time,
        sequence: event.sequence,
        origin: event.origin.map(Into::into),
        correlation: Some(delivery.shared()),
        traceparent: event.traceparent.filter(|trace| is_traceparent(trace)).map(Into::into),
        data: data.into(),
    };
    Ok(ValidEvent { event, personal, left_out })
}

/// The id of an event to which its sender gives none: what it says, of what, and the key that orders it where it has one.
/// All of a subject's begin alike, with [`subject_id`].
fn statement_id(subject: &str, kind: &str, data: &str, order_key: Option<&String>) -> Arc<str> {
    let said = digits(&[kind, "\n", data, "\n", order_key.map_or("", String::as_str)], 32);
    format!("{}{said}", subject_id(subject)).into()
}

/// The id of an event by the sender's id of the notification; `nth` counts what it says of the subject in the same type.
fn notification_id(subject: &str, id: &str, kind: &str, nth: usize) -> String {
    let nth = if nth == 0 { String::new() } else { format!("\n{nth}") };
    format!("{}{id}~{}", subject_id(subject), digits(&[kind, &nth], 16))
}

/// An id of a notification, and a subject.
type OfSubject = (String, Arc<str>);

/// Type and data of an event.
type Statement = (Arc<str>, Arc<str>);

/// Counts what a notification says of a subject, so that two facts on one are two.
#[derive(Default)]
pub(crate) struct Places {
    /// By id and subject, what was said last.
    last: HashMap<OfSubject, Statement>,
    /// With the type, how often something else had been said before.
    counts: HashMap<(OfSubject, Arc<str>), usize>,
}

impl Places {
    /// Gives an event of a notification an id by its place, where it is not the first of its subject and type. What says
    /// the same as the one before is the same.
    pub fn tell_apart(&mut self, sender_id: &SenderId, event: &mut NewEvent) {
        let SenderId::OfNotification(id) = sender_id else { return };
        let said = (event.kind.clone(), event.data.clone());
        let of = (id.clone(), event.subject.clone());
        let before = self.last.insert(of.clone(), said.clone());
        let count = self.counts.entry((of, event.kind.clone()));
        let nth = match before {
            Some(before) if before == said => *count.or_default(),
            _ => *count.and_modify(|nth| *nth += 1).or_default(),
        };
        if nth > 0 {
            event.key.id = notification_id(&event.subject, id, &event.kind, nth).into();
        }
    }
}

/// What every id begins with that is given to an event.
pub(crate) const GIVEN_ID: &str = "~";

/// What the ids begin with that are given to the events of a subject.
pub(crate) fn subject_id(subject: &str) -> String {
    format!("{GIVEN_ID}{}.", digits(&[subject], 16))
}

/// So many digits of a hash.
fn digits(of: &[&str], count: usize) -> String {
    Digest::of(of.concat().as_bytes()).to_string().chars().take(count).collect()
}

/// Takes `personal` out of a person's data. The other members keep their bytes. It goes the same way where there is
/// nothing to take out, so that an event with and one without `personal` compare equal.
fn cut_personal(data: &str) -> Result<(String, Option<PersonalMember>), Problem> {
    let invalid =
        |error: rollcall_events::SchemaError, prefix| Problem::of(ProblemType::InvalidData, error.under(prefix));
    let mut members: json::Members = json::read(data).map_err(|error| invalid(error, "/data"))?;
    let personal = members
        .take("personal")
        .map(|raw| json::read::<Option<PersonalMember>>(raw.get()))
        .transpose()
        // What the reader found there may be an address: it is named by place only.
        .map_err(|error| {
            let pointer = format!("/data/personal{}", error.pointer);
            Problem::at(
                ProblemType::InvalidData,
                pointer,
                "`personal` is an object of `email` and `name`, texts or null",
            )
        })?
        .flatten();
    for (member, text, most) in [
        ("email", personal.as_ref().and_then(|personal| personal.email.as_ref()), size::EMAIL),
        ("name", personal.as_ref().and_then(|personal| personal.name.as_ref()), size::DISPLAY_NAME),
    ] {
        let count = text.map_or(0, |text| text.chars().count());
        if count > most {
            let detail = format!("at most {most} characters; {count} are there");
            return Err(Problem::at(ProblemType::InvalidData, format!("/data/personal/{member}"), detail));
        }
    }
    let rest =
        serde_json::to_string(&members).map_err(|error| Problem::at(ProblemType::MappingFailed, "/data", error))?;
    Ok((rest, personal))
}

/// W3C trace context: `version-trace-parent-flags`. One that is not is left out; it is no reason to refuse a fact.
fn is_traceparent(text: &str) -> bool {
    let hex =
        |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let parts: Vec<_> = text.split('-').collect();
    matches!(parts[..], [version, trace, parent, flags]
        if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(said: MappedEvent) -> Result<ValidEvent, Problem> {
        let now = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        validate(&"flexnet".parse().unwrap(), Order::Version, &DeliveryId::new(now, [0; 10]), now, now, said)
    }

    /// A sender that is newer than this server: what it adds is passed over if it says that it speaks a later version, and is a
    /// mistake if it does not.
    #[test]
    fn what_a_newer_sender_adds_is_left_out_and_what_no_version_means_is_a_mistake() {
        let said = |minor, data: &str| MappedEvent {
            kind: "rollcall.entitlement.upserted.v1".into(),
            minor,
            data: data.into(),
            id: SenderId::OfEvent("e".to_owned()),
            sequence: Some(3),
            ..MappedEvent::default()
        };
        let paused = r#"{"entitlement":"E","account":"A","state":"paused","contact":"ada@x.example"}"#;
        let refused = validated(said(0, paused)).unwrap_err();
        assert_eq!((refused.kind, &*refused.pointer), (ProblemType::InvalidData, "/data/contact"));
        let taken = validated(said(1, paused)).unwrap();
        assert_eq!(&*taken.event.data, r#"{"account":"A","entitlement":"E","state":"paused"}"#);
        assert_eq!(taken.left_out, ["/data/contact"]);
        assert!(!format!("{:?}", taken.event).contains("ada@x.example"), "nobody knows what it is");
        // What it states as every version does keeps its bytes, and a slip is a slip.
        let plain = r#"{"state":"active", "account":"A","entitlement":"E"}"#;
        assert_eq!(&*validated(said(1, plain)).unwrap().event.data, plain);
        let slip = validated(said(1, r#"{"entitlement":"E","acount":"A","state":"paused"}"#)).unwrap_err();
        assert_eq!(slip.pointer, "/data");
        let person = r#"{"person":"p","account":null,"active":false,"left_on":"x","personal":{"email":"p@x.example"}}"#;
        let person = MappedEvent { kind: "rollcall.person.upserted.v1".into(), ..said(7, person) };
        let person = validated(person).unwrap();
        assert_eq!(&*person.event.data, r#"{"account":null,"active":false,"person":"p"}"#);
        assert!(person.personal.is_some());
    }
}
