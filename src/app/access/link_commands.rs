//! What a request to link or part comes to: the commands, or why there are none.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use rollcall_access::{LinkGiver, LinkNote, LinkNoteKind, LinkRule, Linkable, Roster, StatementCounts, UserIx};
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

/// The two persons whom a parting is about: of whom it ends a link, or who are two users and stay so, whatever a rule says. Two
/// names may be those of persons that are one by way of others.
fn parted_persons(roster: &Roster, persons: [SourcePerson; 2]) -> Result<[SourcePerson; 2]> {
    if roster.is_linked(&persons) {
        return Ok(persons);
    }
    let [a, b] = &persons;
    let is = match roster.user_by_id(&key(a)) {
        Some(user) if roster.user_by_id(&key(b)) == Some(user) => {
            let links: Vec<String> = roster.links_of(user).map(|link| link.persons.join(" ")).collect();
            format!(
                "{} is one user by these links: {}; part one of them by its two persons",
                user_text(roster, a),
                links.join(", ")
            )
        }
        _ => match roster.parted_at(&persons) {
            Some(at) => format!(
                "{} and {} are two users already, and were parted by hand (event {at}): no rule makes one of them",
                user_text(roster, a),
                user_text(roster, b)
            ),
            None => return Ok(persons),
        },
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
    let persons = parted_persons(roster, persons)?;
    let given_since = request.given_since.as_deref().map(|text| person(roster, text)).transpose()?;
    if given_since.is_some() && !roster.is_linked(&persons) {
        return Err(invalid("/given_since", "nothing: the two are not linked"));
    }
    if given_since.is_some() && !roster.would_part(&persons) {
        return Err(invalid("/given_since", "nothing: they stay one user by other links"));
    }
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

/// How many are excepted at once at most.
const MAX_EXCEPTIONS: usize = 1_000;

/// What a rule takes for one with somebody who is excepted, now or later. Nobody is excepted in vain.
fn excepted(
    roster: &Roster,
    (rule, source, with): (LinkRule, &str, &str),
    pairs: &[[SourcePerson; 2]],
    except: &[String],
) -> Result<Vec<[SourcePerson; 2]>> {
    if except.len() > MAX_EXCEPTIONS {
        return Err(invalid(
            "/except",
            &format!(
                "at most {MAX_EXCEPTIONS} people at once; these are {}. Except the others first, or afterwards",
                except.len()
            ),
        ));
    }
    if except.is_empty() {
        return Ok(Vec::new());
    }
    // A name may be that of another person of the user.
    let user = |person: &SourcePerson| roster.user_by_id(&key(person));
    let among: HashSet<UserIx> = pairs.iter().flatten().filter_map(user).collect();
    let (mut users, mut left_out) = (HashSet::new(), BTreeSet::new());
    for (n, text) in except.iter().enumerate() {
        let one = person(roster, text).map_err(|error| {
            error.with_field(SchemaError::at(format!("/except/{n}"), "a person, or the name of a user"))
        })?;
        let taken = roster.taken_for(rule, source, with, &one);
        if !taken.is_known && user(&one).is_none_or(|user| !among.contains(&user)) {
            return Err(invalid(
                &format!("/except/{n}"),
                &format!("somebody whom the rule would link; {} is not among them", user_text(roster, &one)),
            ));
        }
        users.extend(user(&one));
        left_out.extend(taken.pairs);
    }
    let is_excepted = |pair: &[SourcePerson; 2]| pair.iter().filter_map(user).any(|user| users.contains(&user));
    left_out.extend(pairs.iter().filter(|pair| is_excepted(pair)).cloned());
    Ok(left_out.into_iter().collect())
}

/// What a request comes to.
pub(super) struct Requested {
    /// As somebody would give them.
    pub commands: Vec<Body>,
    /// How many pairs of the rule are left for another time.
    pub left: u64,
    /// Whom the rule takes for one and does not link.
    pub left_out: Vec<LinkNote>,
    /// Of whom else it could be thought, in words: of each kind why not, and what to do.
    pub not_taken: Vec<LinkNote>,
}

impl Requested {
    fn all(commands: Vec<Body>) -> Self {
        Self { commands, left: 0, left_out: Vec::new(), not_taken: Vec::new() }
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
            let found = roster.linkable(rule, &source, &with, request.overlapping);
            let excepted = excepted(roster, (rule, &source, &with), &found.pairs, &request.except)?;
            // Before the first link, which may be what confirms the rule.
            let apart = excepted.iter().cloned().map(|persons| {
                let LinkGiver { author, made_with } = giver.clone();
                Body::IdentityUnlinked(Link { persons, rule: None, author, made_with, given_since: None })
            });
            let apart: Vec<Body> = apart.collect();
            // Who is excepted counts for every other pair, as afterwards.
            let mut found = match &*apart {
                [] => found,
                apart => roster.after(apart, now).linkable(rule, &source, &with, request.overlapping),
            };
            let not_taken = not_taken(roster, &found, (&source, &with));
            let Linkable { pairs, left_out, .. } = &mut found;
            // What this plan says of exactly these two is in it already, and no event says it yet.
            left_out.retain(|one| !excepted.contains(&one.persons));
            for one in left_out.iter_mut().filter(|one| one.parted_at.is_some_and(|at| at > roster.position())) {
                (one.why, one.parted_at) = ("who is excepted would be one with them".to_owned(), None);
            }
            let left = pairs.len().saturating_sub(most) as u64;
            pairs.truncate(most);
            let links = pairs.drain(..).map(|pair| roster.link_command(pair, Some(rule), giver));
            let left_out = left_out.iter().map(LinkNote::of_left_out).collect();
            Ok(Requested { commands: apart.into_iter().chain(links).collect(), left, left_out, not_taken })
        }
        _ => Err(invalid("", "either `persons` or `rule`")),
    }
}

/// How many names a text tells.
const MAX_NAMED: usize = 5;

/// Who asks for somebody's name and is not taken for anybody, of each kind together: why, and what to do.
fn not_taken(roster: &Roster, found: &Linkable, (source, with): (&str, &str)) -> Vec<LinkNote> {
    let named = |who: &[SourcePerson]| {
        let first = who.first()?;
        let names: Vec<&str> = who.iter().take(MAX_NAMED).map(|one| roster.name_of_person(&key(one))).collect();
        let more = match who.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some((key(first), format!("{} of source {with} ({}{more})", who.len(), names.join(", "))))
    };
    let again = match with == source {
        true => format!("rollcall users link --rule made_again --source {source}"),
        false => format!("rollcall users link --rule made_again --source {source} --with {with}"),
    };
    let still_there = |all: String| match with == source {
        true => format!(
            "{all} ask for the name of somebody who is there still, as the directory has two of that name, or as the removals wait: `rollcall plan {source}` shows them, and how they are applied; then `{again}`"
        ),
        false => format!(
            "{all} ask for the name of somebody of source {source} who is there still, and the rule links with whoever was removed. Where {with} takes the place of {source}, that one ends first: `rollcall sources retire {source} --for-ever {source}`; then `{again} --overlapping`"
        ),
    };
    let at_once = |all: String| {
        format!(
            "{all} ask for the name of somebody who was removed, and were there while that one was too: two people of one name, or a directory that was moved; `{again} --overlapping` shows them"
        )
    };
    let not_known = |all: String| {
        format!(
            "{all} ask for a name that somebody else has, and that nobody of source {source} asked for: `rollcall problems --kind user_name --source {with}` says who has it, and what to do"
        )
    };
    let told = [
        named(&found.still_there).map(|(person, all)| (person, still_there(all))),
        named(&found.at_once).map(|(person, all)| (person, at_once(all))),
        named(&found.not_known).map(|(person, all)| (person, not_known(all))),
    ];
    let note = |(person, text)| LinkNote { kind: LinkNoteKind::LeftOut, person, text, event: None };
    told.into_iter().flatten().map(note).collect()
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
                (counts.parted, "were parted or excepted, they or others who would be one with them"),
                (counts.contradicted, "are said of several people (`rollcall problems --kind link`)"),
                (counts.not_there, "are of somebody who is not there"),
            ];
            let why = why.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}"));
            format!("of what source {source} says {}", why.collect::<Vec<_>>().join(", "))
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
    use rollcall_events::{
        LogId, NewEvent, Position, Recorded,
        body::{Person, PersonRef},
    };

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }

    fn one(id: &str) -> SourcePerson {
        let (source, person) = id.split_once('/').unwrap();
        SourcePerson { source: source.parse().unwrap(), person: person.parse().unwrap() }
    }

    fn say(roster: &mut Roster, source: &str, body: &Body) {
        let position = Position(roster.position().0 + 1);
        let event = NewEvent::of(source.parse().unwrap(), format!("e-{position}"), body);
        let event = NewEvent { time: Some(noon()), ..event };
        roster.apply(&Recorded { position, recorded_at: noon(), event });
    }

    /// A person, and whom of source `old` its source says that it is.
    fn person(roster: &mut Roster, id: &str, same_as: Option<&str>) {
        let SourcePerson { source, person } = one(id);
        let same_as = same_as.map(one).into_iter().collect();
        let person = Person { person, username: None, account: None, active: true, same_as };
        say(roster, source.as_str(), &Body::PersonUpserted(person));
    }

    fn request(rule: &str, source: &str, with: Option<&str>, except: Vec<String>) -> LinkRequest {
        LinkRequest {
            change: LinkChange::Link,
            persons: None,
            rule: Some(rule.to_owned()),
            source: Some(source.to_owned()),
            with: with.map(str::to_owned),
            except,
            overlapping: false,
            given_since: None,
            confirm: None,
        }
    }

    fn commands(roster: &Roster, request: &LinkRequest) -> std::result::Result<Vec<String>, String> {
        let found = requested(roster, request, &LinkGiver::default(), noon(), 9);
        let text = |body: &Body| format!("{} {}", body.kind(), body.subject());
        found.map(|found| found.commands.iter().map(text).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_that_takes_more_for_one_than_are_linked_at_once_says_how_many_are_left() {
        let mut roster = Roster::new(LogId([7; 8]));
        for source in ["old", "new"] {
            (0..5).for_each(|n| person(&mut roster, &format!("{source}/u-{n}"), None));
        }
        for (most, except, links, left) in
            [(2, &[][..], 2, 3), (5, &[], 5, 0), (9, &[], 5, 0), (2, &["old/u-0", "new/u-4"], 2, 1)]
        {
            let except: Vec<String> = except.iter().map(|one| (*one).to_owned()).collect();
            let request = request("same_id", "old", Some("new"), except);
            let found = requested(&roster, &request, &LinkGiver::default(), noon(), most).unwrap();
            let linked = found.commands.iter().filter(|body| matches!(body, Body::IdentityLinked(_))).count();
            assert_eq!((linked, found.left), (links, left), "{most} at once, without {:?}", request.except);
        }
    }

    /// As if the exception had been said before.
    #[test]
    fn who_is_excepted_is_so_for_every_other_pair_of_the_same_plan() {
        let mut roster = Roster::new(LogId([7; 8]));
        for (id, contact) in [("new/tom", "old/3"), ("new/tom2", "old/4"), ("new/zoe", "old/5")] {
            let name = if id == "new/zoe" { "zoe" } else { "tom" };
            for (id, name, same_as) in
                [(contact, format!("{name}.c"), Vec::new()), (id, name.to_owned(), vec![one(contact)])]
            {
                let SourcePerson { source, person } = one(id);
                let person = Person { person, username: Some(name), account: None, active: true, same_as };
                say(&mut roster, source.as_str(), &Body::PersonUpserted(person));
            }
        }
        let (parted, linked) = ("unlinked.v1 link/new%2Ftom/old%2F3", "linked.v1 link/new%2Fzoe/old%2F5");
        let all = [parted, linked].map(|one| format!("rollcall.identity.{one}")).to_vec();
        let except = request("stated", "new", None, vec!["new/tom".to_owned()]);
        assert_eq!(commands(&roster, &except), Ok(all.clone()));
        let found = requested(&roster, &except, &LinkGiver::default(), noon(), 9).unwrap();
        let told: Vec<_> = found.left_out.iter().map(|note| (&*note.person, &*note.text, note.event)).collect();
        let text = "is not linked with old/4: who is excepted would be one with them";
        assert_eq!(told, [("new/tom2", text, None)]);
        // Two came: the other one is who was made again.
        let mut roster = Roster::new(LogId([7; 8]));
        let named = |id: &str| {
            let person = one(id).person;
            Body::PersonUpserted(Person {
                person,
                username: Some("ada".to_owned()),
                account: None,
                active: true,
                same_as: Vec::new(),
            })
        };
        say(&mut roster, "new", &named("new/ada1"));
        let person = one("new/ada1").person;
        say(&mut roster, "new", &Body::PersonRemoved(PersonRef { person }));
        say(&mut roster, "new", &named("new/ada2"));
        say(&mut roster, "new", &named("new/ada3"));
        assert_eq!(commands(&roster, &request("made_again", "new", None, Vec::new())), Ok(Vec::new()));
        let all = ["unlinked.v1 link/new%2Fada1/new%2Fada3", "linked.v1 link/new%2Fada1/new%2Fada2"];
        let except = request("made_again", "new", None, vec!["new/ada3".to_owned()]);
        assert_eq!(commands(&roster, &except), Ok(all.map(|one| format!("rollcall.identity.{one}")).to_vec()));
    }

    #[test]
    fn nothing_is_given_to_one_of_two_who_stay_one_user_by_other_links() {
        let mut roster = Roster::new(LogId([7; 8]));
        for id in ["old/1", "old/2", "new/1"] {
            person(&mut roster, id, None);
        }
        let link = |one_id: &str, other: &str| Link {
            persons: [one(one_id), one(other)],
            rule: None,
            author: None,
            made_with: None,
            given_since: None,
        };
        for (a, b) in [("old/1", "old/2"), ("old/2", "new/1"), ("new/1", "old/1")] {
            say(&mut roster, "local", &Body::IdentityLinked(link(a, b)));
        }
        let unlink = |given_since: Option<&str>| LinkRequest {
            change: LinkChange::Unlink,
            persons: Some(["old/1".to_owned(), "new/1".to_owned()]),
            rule: None,
            source: None,
            given_since: given_since.map(str::to_owned),
            ..request("", "", None, Vec::new())
        };
        let why = commands(&roster, &unlink(Some("old/1"))).unwrap_err();
        assert!(why.contains("they stay one user by other links"), "{why}");
        assert_eq!(commands(&roster, &unlink(None)).unwrap().len(), 1);
        say(&mut roster, "local", &Body::IdentityUnlinked(link("old/2", "new/1")));
        assert_eq!(commands(&roster, &unlink(Some("old/1"))).unwrap().len(), 1);
    }

    #[test]
    fn somebody_is_excepted_from_a_claim_that_is_contradicted_and_nobody_in_vain() {
        let mut roster = Roster::new(LogId([7; 8]));
        for contact in ["old/7", "old/8", "old/9"] {
            person(&mut roster, contact, None);
        }
        for (id, contact) in [("new/alice", "old/7"), ("new/yuri", "old/7"), ("new/zoe", "old/8")] {
            person(&mut roster, id, Some(contact));
        }
        let except = |who: &[&str]| request("stated", "new", None, who.iter().map(|one| (*one).to_owned()).collect());
        let linked = "rollcall.identity.linked.v1 link/new%2Fzoe/old%2F8".to_owned();
        let parted = "rollcall.identity.unlinked.v1 link/new%2Fyuri/old%2F7".to_owned();
        assert_eq!(commands(&roster, &except(&[])), Ok(vec![linked.clone()]));
        // Whoever else was said to be that one is by the same plan.
        let alice = "rollcall.identity.linked.v1 link/new%2Falice/old%2F7".to_owned();
        let all = vec![parted.clone(), alice.clone(), linked.clone()];
        assert_eq!(commands(&roster, &except(&["yuri"])), Ok(all));
        let unlink = LinkRequest {
            change: LinkChange::Unlink,
            persons: Some(["yuri".to_owned(), "old/7".to_owned()]),
            rule: None,
            source: None,
            ..except(&[])
        };
        assert_eq!(commands(&roster, &unlink), Ok(vec![parted]));
        let body = Link {
            persons: [one("new/yuri"), one("old/7")],
            rule: None,
            author: None,
            made_with: None,
            given_since: None,
        };
        say(&mut roster, "local", &Body::IdentityUnlinked(body));
        // Said again it is no mistake.
        assert_eq!(commands(&roster, &except(&["yuri"])), Ok(vec![alice, linked]));
        assert!(commands(&roster, &unlink).unwrap_err().contains("were parted by hand"));
        let apart = |two: &str| {
            let persons = [one("new/alice"), one(two)];
            Body::IdentityUnlinked(Link { persons, rule: None, author: None, made_with: None, given_since: None })
        };
        say(&mut roster, "local", &apart("old/9"));
        let why = commands(&roster, &except(&["old/9"])).unwrap_err();
        assert!(why.contains("is not among them"), "who was parted from somebody else is excepted in vain: {why}");
        let many = (0..=MAX_EXCEPTIONS).map(|_| "yuri".to_owned()).collect();
        let why = commands(&roster, &request("stated", "new", None, many)).unwrap_err();
        assert!(why.contains("at most 1000 people"), "{why}");
    }
}
