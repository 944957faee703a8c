//! What a request to link or part comes to: the commands, or why there are none.

use chrono::{DateTime, Utc};
use rollcall_access::{LinkGiver, LinkRule, Roster, StatementCounts};
use rollcall_events::{
    Body, SchemaError,
    body::{Link, SourcePerson},
    names::CallerReference,
};

use crate::{
    access::identity::{LinkChange, LinkRequest, invalid, key},
    error::{Error, ErrorKind, Result},
    words::nearest::did_you_mean,
};

fn no_such_person(roster: &Roster, text: &str) -> Error {
    let names = roster.users().flat_map(|user| roster.user_names(user));
    ErrorKind::UnknownPerson.because(format!(
        "No source ever stated a person `{}`, and no user is called so.{} `rollcall people list` shows the people, `rollcall users list` the users.",
        text.escape_debug(),
        did_you_mean(text, names),
    ))
}

/// A person by id, or by a name: that whose name it is, of a user of several.
fn person(roster: &Roster, text: &str) -> Result<SourcePerson> {
    let id = match CallerReference::of(text) {
        CallerReference::Id(id) if roster.user_by_id(id).is_some() => Some(id.to_owned()),
        CallerReference::Name(name) => roster.person_called(name),
        CallerReference::Id(_) | CallerReference::Service(_) => None,
    };
    let parsed = id
        .as_deref()
        .and_then(|id| id.split_once('/'))
        .and_then(|(source, person)| Some(SourcePerson { source: source.parse().ok()?, person: person.parse().ok()? }));
    parsed.ok_or_else(|| no_such_person(roster, text))
}

/// The user of a person, as people write it, with all persons that it is.
fn user_text(roster: &Roster, person: &SourcePerson) -> String {
    let Some(user) = roster.user_by_id(&key(person)) else { return key(person) };
    let view = roster.user(user);
    let persons: Vec<String> = view.persons.iter().map(|one| format!("{}/{}", one.source, one.person)).collect();
    format!("{} ({})", view.name.escape_debug(), persons.join(", "))
}

/// The two persons whom a parting is about. Two names may be those of persons that are one by way of others.
fn linked_persons(roster: &Roster, persons: [SourcePerson; 2]) -> Result<[SourcePerson; 2]> {
    if roster.is_linked(&persons) {
        return Ok(persons);
    }
    let [a, b] = &persons;
    let user = roster.user_by_id(&key(a));
    let links: Vec<String> = match user {
        Some(user) if roster.user_by_id(&key(b)) == Some(user) => {
            roster.links_of(user).map(|link| link.persons.join(" ")).collect()
        }
        Some(_) | None => Vec::new(),
    };
    let is = match links.as_slice() {
        [] => format!("{} and {} are two users already", user_text(roster, a), user_text(roster, b)),
        links => format!(
            "{} is one user by these links: {}; part one of them by its two persons",
            user_text(roster, a),
            links.join(", ")
        ),
    };
    Err(ErrorKind::Refused.because(format!("{is}. Nothing was changed.")))
}

fn parting(
    roster: &Roster,
    request: &LinkRequest,
    persons: [SourcePerson; 2],
    giver: &LinkGiver,
    now: DateTime<Utc>,
) -> Result<Vec<Body>> {
    let persons = linked_persons(roster, persons)?;
    let given_since = request.given_since.as_deref().map(|text| person(roster, text)).transpose()?;
    if let Some(whose) = &given_since
        && roster.user_by_id(&key(whose)) != persons.first().and_then(|one| roster.user_by_id(&key(one)))
    {
        return Err(invalid("/given_since", "one of the two who are parted"));
    }
    let moved = given_since.as_ref().map(|to| roster.moved_when_parted(&persons, to, giver, now));
    let LinkGiver { author, made_with } = giver.clone();
    let parted = Body::IdentityUnlinked(Link { persons, rule: None, author, made_with, given_since });
    Ok(std::iter::once(parted).chain(moved.unwrap_or_default()).collect())
}

/// Of the pairs that a rule takes for one those with somebody who is excepted; nobody is excepted in vain.
fn excepted(roster: &Roster, pairs: &[[SourcePerson; 2]], except: &[String]) -> Result<Vec<[SourcePerson; 2]>> {
    let mut left_out = Vec::new();
    for (n, text) in except.iter().enumerate() {
        let one = person(roster, text).map_err(|error| {
            error.with_field(SchemaError::at(format!("/except/{n}"), "a person, or the name of a user"))
        })?;
        // A name may be that of another person of the user.
        let same =
            |other: &SourcePerson| *other == one || roster.user_by_id(&key(other)) == roster.user_by_id(&key(&one));
        let with: Vec<_> = pairs.iter().filter(|pair| pair.iter().any(same)).cloned().collect();
        if with.is_empty() && !roster.is_excepted(&one) {
            return Err(invalid(
                &format!("/except/{n}"),
                &format!("somebody whom the rule would link; {} is not among them", user_text(roster, &one)),
            ));
        }
        left_out.extend(with);
    }
    Ok(left_out)
}

/// What a request comes to.
pub(super) struct Requested {
    /// As somebody would give them.
    pub commands: Vec<Body>,
    /// How many pairs of the rule are left for another time.
    pub left: u64,
}

impl Requested {
    fn all(commands: Vec<Body>) -> Self {
        Self { commands, left: 0 }
    }
}

/// The commands that a request comes to, for `most` pairs at most.
pub(super) fn requested(
    roster: &Roster,
    request: &LinkRequest,
    giver: &LinkGiver,
    now: DateTime<Utc>,
    most: usize,
) -> Result<Requested> {
    match (&request.persons, &request.rule) {
        (Some([one, other]), None) => {
            let persons = [person(roster, one)?, person(roster, other)?];
            let same = |a: &SourcePerson, b: &SourcePerson| roster.user_by_id(&key(a)) == roster.user_by_id(&key(b));
            let [a, b] = &persons;
            if a == b {
                return Err(ErrorKind::Refused.because(format!(
                    "Two people are needed, and both are {}. Nothing was changed.",
                    user_text(roster, a)
                )));
            }
            match request.change {
                LinkChange::Link if same(a, b) => Err(ErrorKind::Refused
                    .because(format!("They are one user already: {}. Nothing was changed.", user_text(roster, a)))),
                LinkChange::Link => Ok(Requested::all(vec![roster.link_command(persons, None, giver)])),
                LinkChange::Unlink => parting(roster, request, persons, giver, now).map(Requested::all),
            }
        }
        (None, Some(word)) => {
            if request.change == LinkChange::Unlink {
                return Err(invalid("/change", "`link`: a rule parts nobody"));
            }
            let rule = LinkRule::parse(word).ok_or_else(|| invalid("/rule", "`made_again`, `same_id` or `stated`"))?;
            let known = |pointer: &str, name: &Option<String>| match name.as_deref() {
                Some(name) if roster.sources().any(|source| source == name) => Ok(name.to_owned()),
                Some(name) => Err(invalid(
                    pointer,
                    &format!("a source that has said something; `{}` has not", name.escape_debug()),
                )),
                None => Err(invalid(pointer, "a source")),
            };
            let source = known("/source", &request.source)?;
            let with = match (rule, &request.with) {
                (LinkRule::SameId, with) | (LinkRule::MadeAgain, with @ Some(_)) => known("/with", with)?,
                (LinkRule::MadeAgain | LinkRule::Stated, None) => source.clone(),
                (LinkRule::Stated, Some(_)) => {
                    return Err(invalid("/with", "nothing: this rule is about one source"));
                }
            };
            let mut pairs = roster.linkable(rule, &source, &with, request.overlapping);
            let left_out = excepted(roster, &pairs, &request.except)?;
            pairs.retain(|pair| !left_out.contains(pair));
            let left = pairs.len().saturating_sub(most) as u64;
            pairs.truncate(most);
            // Before the first link, which may be what confirms the rule.
            let apart = left_out.into_iter().map(|persons| {
                let LinkGiver { author, made_with } = giver.clone();
                Body::IdentityUnlinked(Link { persons, rule: None, author, made_with, given_since: None })
            });
            let links = pairs.into_iter().map(|pair| roster.link_command(pair, Some(rule), giver));
            Ok(Requested { commands: apart.chain(links).collect(), left })
        }
        _ => Err(invalid("", "either `persons` or `rule`")),
    }
}

/// Why a rule links nobody.
pub(super) fn nobody(roster: &Roster, request: &LinkRequest) -> String {
    let source = request.source.as_deref().unwrap_or_default().escape_debug().to_string();
    match request.rule.as_deref().and_then(LinkRule::parse) {
        Some(LinkRule::Stated) => {
            let counts = roster.statements_of(&source);
            if counts == StatementCounts::default() {
                return format!(
                    "source {source} says of nobody whom it is in another source; `links` of a source counts once the server was started with it and the source was read, which may wait for `rollcall apply` (`rollcall plan {source}`)"
                );
            }
            let why = [
                (counts.linked, "are linked"),
                (counts.parted, "were parted or excepted"),
                (counts.contradicted, "are said of several people (`rollcall problems --kind link`)"),
                (counts.not_there, "are of somebody who is not there"),
            ];
            let why = why.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}"));
            format!("of what source {source} says {}", why.collect::<Vec<_>>().join(", "))
        }
        Some(LinkRule::MadeAgain) if !request.overlapping => {
            let with = request.with.as_deref().unwrap_or(&source);
            match roster.linkable(LinkRule::MadeAgain, &source, with, true).len() {
                0 => "nobody who was removed came since under the same name, or they are linked, parted or excepted"
                    .to_owned(),
                n => format!(
                    "{n} ask for the name of somebody who was removed, and were there while that one was too: two people of one name, or a directory that was moved; --overlapping shows them"
                ),
            }
        }
        Some(LinkRule::MadeAgain) => {
            "nobody who was removed came since under the same name, or they are linked, parted or excepted".to_owned()
        }
        Some(LinkRule::SameId) => "nobody has one id in both, or they are linked, parted or excepted".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rollcall_events::{LogId, NewEvent, Position, Recorded, body::Person};

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }

    #[test]
    fn a_rule_that_takes_more_for_one_than_are_linked_at_once_says_how_many_are_left() {
        let mut roster = Roster::new(LogId([7; 8]));
        let people = ["old", "new"].into_iter().flat_map(|source| (0..5).map(move |n| (source, n)));
        for (at, (source, n)) in (1..).zip(people) {
            let person = Person {
                person: format!("u-{n}").parse().unwrap(),
                username: None,
                account: None,
                active: true,
                same_as: Vec::new(),
            };
            let event = NewEvent::of(source.parse().unwrap(), format!("e-{at}"), &Body::PersonUpserted(person));
            let event = NewEvent { time: Some(noon()), ..event };
            roster.apply(&Recorded { position: Position(at), recorded_at: noon(), event });
        }
        let request = |except: &[&str]| LinkRequest {
            change: LinkChange::Link,
            persons: None,
            rule: Some("same_id".to_owned()),
            source: Some("old".to_owned()),
            with: Some("new".to_owned()),
            except: except.iter().map(|one| (*one).to_owned()).collect(),
            overlapping: false,
            given_since: None,
            confirm: None,
        };
        for (most, except, links, left) in
            [(2, &[][..], 2, 3), (5, &[], 5, 0), (9, &[], 5, 0), (2, &["old/u-0", "new/u-4"], 2, 1)]
        {
            let found = requested(&roster, &request(except), &LinkGiver::default(), noon(), most).unwrap();
            let linked = found.commands.iter().filter(|body| matches!(body, Body::IdentityLinked(_))).count();
            assert_eq!((linked, found.left), (links, left), "{most} at once, without {except:?}");
        }
    }
}
