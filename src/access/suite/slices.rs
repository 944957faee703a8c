//! The law of a slice: what it answers as of a position is what the log cut there answers, word for word.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall_events::{Body, LogId, Position, Recorded};

use crate::{
    effort::Effort,
    fold::change::{Change, Effect, Folded},
    past::slice::{Basis, PastQuestion, ScopeName, Subject, effective_by},
    profile::Verb,
    questions::{
        explain::{Explanation, explain},
        members::{Member, MembersPage, candidates_by_name, members, memberships_of, next_members},
        report::who_may,
    },
    reasons::Rule,
    roster::{
        Roster,
        handles::{Place, Principal, ProjectIx},
    },
    suite::histories::{BEFORE, History, KINDS_OF_LINKS, links_met, noon, past, past_profile},
};

fn records(history: &History) -> Vec<Recorded> {
    let recorded_at = |n: i64| noon() - Duration::days(2) + Duration::hours(n);
    (1..)
        .zip(&history.0)
        .map(|(n, event)| Recorded {
            position: Position(n),
            recorded_at: recorded_at(i64::try_from(n).unwrap()),
            event: event.clone(),
        })
        .collect()
}

/// As the SQL side finds them: by subject, the positions of the events that applied, began or ended a fact of it.
#[derive(Default)]
struct Found(BTreeMap<Subject, BTreeSet<Position>>);

impl Found {
    fn take(&mut self, folded: &Folded, all: bool) {
        let mut note = |source: &str, subject: &str| {
            let key = (source.to_owned(), subject.to_owned());
            self.0.entry(key).or_default().insert(folded.position);
        };
        let competed = matches!(folded.effect, Effect::Superseded | Effect::NoChange);
        if folded.effect == Effect::Applied || (all && competed) {
            note(folded.source.as_str(), &folded.subject);
        }
        for change in &folded.changes {
            if let Change::FactBegan { source, subject, .. } | Change::FactEnded { source, subject } = change {
                note(source.as_str(), subject);
            }
        }
    }
}

struct Past {
    records: Vec<Recorded>,
    live: Roster,
    found: Found,
}

impl Past {
    fn of(history: &History, all: bool) -> Self {
        let records = records(history);
        let mut live = Roster::new(LogId([7; 8]));
        let mut found = Found::default();
        for record in &records {
            found.take(&live.apply(record), all);
        }
        // Also what a restart forgets must be found.
        let live = Roster::from_snapshot(&live.to_snapshot()).unwrap();
        Self { records, live, found }
    }

    fn events(&self, about: PastQuestion<'_>, basis: Basis) -> Vec<Recorded> {
        let relevant = self.live.relevant_subjects(about, basis, &Effort::unbounded()).unwrap();
        let positions: BTreeSet<Position> =
            relevant.iter().filter_map(|subject| self.found.0.get(subject)).flatten().copied().collect();
        self.records.iter().filter(|record| positions.contains(&record.position)).cloned().collect()
    }

    /// As of a position, as it was recorded.
    fn recorded(&self, about: PastQuestion<'_>, to: Position) -> Roster {
        let mut slice = self.live.empty_slice(Basis::Recorded);
        for record in self.events(about, Basis::Recorded).iter().filter(|record| record.position <= to) {
            slice.apply(record);
        }
        slice.advance_to(to);
        slice
    }

    /// As of an instant, as it is known now.
    fn effective(&self, events: Vec<Recorded>, then: DateTime<Utc>) -> Roster {
        let mut slice = self.live.empty_slice(Basis::Effective);
        for record in effective_by(events, then, |record| record.recorded_at) {
            slice.apply(&record);
        }
        slice.advance_to(self.live.position());
        slice
    }
}

fn verbs() -> [Verb; 2] {
    [Verb::Pull, Verb::Push]
}

/// Every answer about one caller and one scope, in words.
fn answer(roster: &Roster, user: &str, scope: ScopeName<'_>, now: DateTime<Utc>) -> Option<Vec<Explanation>> {
    let place = match scope {
        ScopeName::Root => Place::Root,
        ScopeName::Folder(id) => Place::Folder(roster.folder_by_id(id)?),
        ScopeName::Project(name) => Place::Project(roster.project_by_name(name)?),
    };
    let caller = roster.caller_by_id(user)?;
    let profile = roster.profile();
    Some(
        verbs()
            .into_iter()
            .filter_map(|verb| profile.registry_action(verb))
            .map(|a| explain(roster, caller, a, place, now))
            .collect(),
    )
}

fn callers(roster: &Roster) -> Vec<String> {
    let users = roster.users().map(|user| roster.user_id(user));
    users.chain(roster.services().map(|service| format!("service:{}", roster.service(service).id))).collect()
}

/// The names of all projects, personal ones too.
fn projects(roster: &Roster) -> Vec<String> {
    let own = roster.users().map(|user| roster.user_name(user));
    let own =
        own.filter(|name| matches!(roster.project_by_name(name), Some(ProjectIx::Personal(_)))).map(str::to_owned);
    roster.projects().map(|project| roster.project_name(project).to_owned()).chain(own).collect()
}

/// A scope of a world.
enum Scope {
    Root,
    Folder(String),
    Project(String),
}

impl Scope {
    fn name(&self) -> ScopeName<'_> {
        match self {
            Self::Root => ScopeName::Root,
            Self::Folder(id) => ScopeName::Folder(id),
            Self::Project(name) => ScopeName::Project(name),
        }
    }
}

/// The root, every folder and every project.
fn scopes(roster: &Roster) -> Vec<Scope> {
    let folders = roster.folders().map(|folder| Scope::Folder(roster.folder(folder).id.to_owned()));
    std::iter::once(Scope::Root).chain(folders).chain(projects(roster).into_iter().map(Scope::Project)).collect()
}

/// Every answer of a slice is the one that the log cut behind `cut` events gives.
fn answers_as_cut(past: &Past, cut: usize) -> Result<(), TestCaseError> {
    let (to, now) = (past.records[cut - 1].position, past.records[cut - 1].recorded_at);
    let mut whole = Roster::new(LogId([7; 8]));
    for record in &past.records[..cut] {
        whole.apply(record);
    }
    let slice = |about: PastQuestion<'_>| past.recorded(about, to);
    for project in projects(&whole) {
        let ix = whole.project_by_name(&project).unwrap();
        let cut = slice(PastQuestion::Members(&project));
        let there = cut.project_by_name(&project);
        prop_assert!(there.is_some(), "{}", project);
        let there = there.unwrap();
        prop_assert_eq!(cut.project(there).id, whole.project(ix).id);
        prop_assert_eq!(cut.project_name(there), whole.project_name(ix));
        let all = members(&whole, ix, now);
        prop_assert_eq!(&members(&cut, there, now), &all, "members of {}", project);
        let candidates = candidates_by_name(&cut, there, &Effort::unbounded()).unwrap();
        let mut page_by_page: Vec<Member> = Vec::new();
        loop {
            let after = page_by_page.last().map(|last| (last.name.clone(), last.role.clone()));
            let after = after.as_ref().map(|(name, role)| (name.as_str(), role.as_str()));
            let page = MembersPage { only: None, viewer: None, after, limit: 2 };
            let next = next_members(&cut, there, now, page, &candidates, &Effort::unbounded()).unwrap();
            if next.is_empty() {
                break;
            }
            page_by_page.extend(next);
        }
        prop_assert_eq!(page_by_page, all, "pages of the members of {}", project);
        for verb in verbs() {
            if let (Some(a), Some(b)) = (cut.profile().registry_action(verb), whole.profile().registry_action(verb)) {
                prop_assert_eq!(
                    who_may(&cut, there, a, now, &Effort::unbounded()).unwrap(),
                    who_may(&whole, ix, b, now, &Effort::unbounded()).unwrap(),
                    "who may {:?} {}",
                    verb,
                    project
                );
            }
        }
    }
    for scope in scopes(&whole) {
        let scope = scope.name();
        for user in callers(&whole) {
            let cut = slice(PastQuestion::Access { user: Some(&user), scope });
            prop_assert_eq!(
                answer(&cut, &user, scope, now),
                answer(&whole, &user, scope, now),
                "{} on {:?}",
                user,
                scope
            );
            if let ScopeName::Project(name) = scope {
                // Whoever sees only the own rows is answered from this slice alone.
                let rows = |roster: &Roster| {
                    let (project, only) = (roster.project_by_name(name), roster.caller_by_id(&user));
                    let page = MembersPage { only, viewer: None, after: None, limit: usize::MAX };
                    next_members(roster, project.unwrap(), now, page, &[], &Effort::unbounded()).unwrap()
                };
                prop_assert!(cut.caller_by_id(&user).is_some(), "{}", user);
                prop_assert_eq!(rows(&cut), rows(&whole), "{} in {}", user, name);
                let all = members(&whole, whole.project_by_name(name).unwrap(), now);
                let own: Vec<_> = all.into_iter().filter(|member| member.user == user).collect();
                prop_assert_eq!(rows(&cut), own, "{} in {}", user, name);
            }
        }
    }
    for user in callers(&whole) {
        let caller = whole.caller_by_id(&user).unwrap();
        let cut = slice(PastQuestion::User(&user));
        let there = cut.caller_by_id(&user);
        prop_assert!(there.is_some(), "{}", user);
        let there = there.unwrap();
        prop_assert_eq!(cut.caller_names(there), whole.caller_names(caller));
        prop_assert_eq!(memberships_of(&cut, there, now), memberships_of(&whole, caller, now), "{}", user);
        if let Principal::User(_) = caller {
            // By the name that it had then.
            let name = whole.caller_names(caller).1;
            let cut = slice(PastQuestion::User(&name));
            prop_assert_eq!(cut.user_by_name(&name).map(|ix| cut.user_id(ix)), Some(user));
        }
    }
    Ok(())
}

/// Random events about who has which name: of people of one source, of one of another, by what sources say and by the rule for
/// names that were moved.
fn exchanges() -> impl Strategy<Value = History> {
    let named = |source: &'static str, people: u8| {
        let name = prop::sample::select(vec!["n1", "n2", "n3", "n1~corp", "n1~corp~2", "n2~corp~3"]);
        (0..people, name, prop::bool::weighted(0.95)).prop_map(move |(p, name, active)| {
            let data = format!(r#"{{"person":"p{p}","username":"{name}","account":null,"active":{active}}}"#);
            (source, "person.upserted", data)
        })
    };
    let person = || (0..5_u8).prop_map(|p| format!("p{p}"));
    let event = prop_oneof![
        9 => named("corp", 5),
        1 => named("flexnet", 2),
        1 => person().prop_map(|p| ("corp", "person.removed", format!(r#"{{"person":"{p}"}}"#))),
        8 => (person(), 1..4_u8).prop_map(|(p, n)| {
            ("local", "user.name.given", format!(r#"{{"username":"n{n}","user":"corp/{p}","rule":"moved"}}"#))
        }),
        1 => (person(), 1..4_u8).prop_map(|(p, n)| {
            ("local", "user.name.given", format!(r#"{{"username":"n{n}","user":"corp/{p}"}}"#))
        }),
        1 => (1..4_u8).prop_map(|n| ("local", "user.name.freed", format!(r#"{{"username":"n{n}"}}"#))),
        1 => (person(), prop::bool::ANY).prop_map(|(p, on)| {
            let persons = format!(r#"[{{"source":"corp","person":"{p}"}},{{"source":"flexnet","person":"p0"}}]"#);
            let kind = if on { "identity.linked" } else { "identity.unlinked" };
            ("local", kind, format!(r#"{{"persons":{persons}}}"#))
        }),
    ];
    prop::collection::vec(event, 1..40).prop_map(|events| {
        let mut history = History::default();
        for (n, (source, kind, data)) in (1..).zip(events) {
            history.say(source, kind, (source != "local").then_some(n), &data);
        }
        history
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn a_slice_answers_as_the_log_cut_there(history in past(), cut in any::<prop::sample::Index>()) {
        let past = Past::of(&history, false);
        let cut = cut.index(past.records.len()) + 1;
        answers_as_cut(&past, cut)?;
    }

    /// Where a few people of one source exchange their names over and over, are told apart, part and go.
    #[test]
    fn a_slice_answers_as_the_log_cut_there_whoever_has_which_name(history in exchanges(), cut in any::<prop::sample::Index>()) {
        let past = Past::of(&history, false);
        let cut = cut.index(past.records.len()) + 1;
        answers_as_cut(&past, cut)?;
    }

    /// The effective answer is that of all that is known now and was so by then, folded by the sources' own order.
    #[test]
    fn an_effective_slice_answers_as_all_that_is_known_now(history in past(), day in 0..48_i64) {
        let mut history = history;
        for (n, event) in (0_i64..).zip(&mut history.0) {
            if !event.key.source.is_local() {
                event.time = Some(noon() - Duration::days(3) + Duration::hours((n * 37) % 60));
                // Which of two rivals has a name is a matter of arrival, not of what was so.
                for name in ["ada~flexnet", "ada", "bob", "acme", "eve"] {
                    event.data = event.data.replace(&format!(r#""username":"{name}","#), "").into();
                }
            }
        }
        let past = Past::of(&history, true);
        let then = noon() - Duration::days(2) + Duration::hours(day);
        let known: BTreeSet<Position> = past.found.0.values().flatten().copied().collect();
        let all = past.records.iter().filter(|record| known.contains(&record.position)).cloned().collect();
        let whole = past.effective(all, then);
        for scope in scopes(&whole) {
            let scope = scope.name();
            for user in callers(&whole) {
                let slice = past.effective(past.events(PastQuestion::Access { user: Some(&user), scope }, Basis::Effective), then);
                prop_assert_eq!(answer(&slice, &user, scope, then), answer(&whole, &user, scope, then), "{} on {:?}", user, scope);
            }
        }
    }
}

#[test]
fn a_project_that_only_came_too_late_is_found_by_what_is_known_now() {
    let mut history = History::default();
    let settings = r#"{"sources":{"flexnet":{"order":"version"}}}"#;
    history.say("local", "settings.set", None, settings);
    history.say("flexnet", "account.upserted", Some(1), r#"{"account":"a","kind":"producer"}"#);
    history.say("flexnet", "person.upserted", Some(1), r#"{"person":"p","account":"a","active":true}"#);
    let permission = r#"{"person":"p","permission":"view_and_manage_download_packages"}"#;
    history.say("flexnet", "permission.granted", Some(1), permission);
    history.say("flexnet", "package.removed", Some(6), r#"{"package":"k"}"#);
    let package = r#"{"package":"k","producer":"a","container_delivery":true}"#;
    history.say("flexnet", "package.upserted", Some(2), package);
    for event in history.0.iter_mut().filter(|event| !event.key.source.is_local()) {
        let removed = event.kind.contains("removed");
        event.time = Some(if removed { noon() } else { noon() - Duration::days(2) });
    }
    let past = Past::of(&history, true);
    assert!(past.live.project_by_name("k").is_none(), "it was over before it began");
    let (then, scope) = (noon() - Duration::days(1), ScopeName::Project("k"));
    let slice =
        past.effective(past.events(PastQuestion::Access { user: Some("flexnet/p"), scope }, Basis::Effective), then);
    let answers = answer(&slice, "flexnet/p", scope, then).expect("it was there then");
    assert!(answers.iter().all(|answer| answer.allowed), "{answers:?}");
    let slice = past.effective(past.events(PastQuestion::Members("k"), Basis::Effective), then);
    assert_eq!(members(&slice, slice.project_by_name("k").unwrap(), then).len(), 1);
}

/// By what is known now somebody may have had a name, and a project of that name, whom the log has never called so.
#[test]
fn the_project_of_somebody_who_came_too_late_is_found_by_the_name_that_an_event_asked_for() {
    let mut history = History::default();
    history.say("local", "settings.set", None, r#"{"sources":{"flexnet":{"order":"version"}}}"#);
    history.say("local", "profile.set", None, &past_profile(true));
    history.say("flexnet", "person.removed", Some(6), r#"{"person":"p"}"#);
    history.say(
        "flexnet",
        "person.upserted",
        Some(3),
        r#"{"person":"p","username":"later","account":null,"active":true}"#,
    );
    history.say(
        "flexnet",
        "person.upserted",
        Some(2),
        r#"{"person":"p","username":"sooner","account":null,"active":true}"#,
    );
    history.say("flexnet", "person.upserted", Some(1), r#"{"person":"asks","account":null,"active":true}"#);
    let at = |kind: &str, sequence: Option<u64>| match (kind.contains("removed"), sequence) {
        (true, _) => noon(),
        (false, Some(3)) => noon() - Duration::days(1),
        (false, _) => noon() - Duration::days(3),
    };
    for event in history.0.iter_mut().filter(|event| !event.key.source.is_local()) {
        event.time = Some(at(&event.kind, event.sequence));
    }
    let past = Past::of(&history, true);
    assert!(past.live.user_by_name("later").is_none(), "it was over before it began");
    for (hours, name) in [(1, "later"), (36, "sooner")] {
        let (then, scope) = (noon() - Duration::hours(hours), ScopeName::Project(name));
        for user in [Some("flexnet/asks"), Some(name)] {
            let slice = past.effective(past.events(PastQuestion::Access { user, scope }, Basis::Effective), then);
            assert!(slice.project_by_name(name).is_some(), "{name} for {user:?}");
            assert_eq!(slice.user_by_name(name).map(|user| slice.user_id(user)).as_deref(), Some("flexnet/p"));
        }
    }
}

/// A name that was asked for and was another's, or was overruled, may have been in effect by what is known now.
#[test]
fn a_name_that_was_asked_for_and_is_not_in_effect_finds_whoever_had_it_by_what_is_known_now() {
    let mut history = History::default();
    history.say("local", "settings.set", None, r#"{"sources":{"flexnet":{"order":"version"}}}"#);
    history.say("local", "profile.set", None, &past_profile(true));
    let person =
        |id: &str, name: &str| format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true}}"#);
    history.say("flexnet", "person.upserted", Some(1), &person("first", "dup"));
    history.say("flexnet", "person.upserted", Some(1), &person("second", "dup"));
    history.say("flexnet", "person.upserted", Some(1), &person("third", "before"));
    history.say("local", "user.name.given", None, r#"{"username":"zz","user":"flexnet/third"}"#);
    history.say("flexnet", "person.upserted", Some(2), &person("third", "later"));
    for event in history.0.iter_mut().filter(|event| !event.key.source.is_local()) {
        // The first to arrive is the last to have happened.
        let hours = if event.data.contains("first") { 1 } else { 60 };
        event.time = Some(noon() - Duration::hours(hours));
    }
    let past = Past::of(&history, true);
    let then = noon() - Duration::hours(44) - Duration::minutes(30);
    for (name, who) in [("dup", "flexnet/second"), ("later", "flexnet/third")] {
        let about = PastQuestion::Access { user: Some(name), scope: ScopeName::Project(name) };
        let slice = past.effective(past.events(about, Basis::Effective), then);
        assert_eq!(slice.user_by_name(name).map(|user| slice.user_id(user)).as_deref(), Some(who));
        assert!(slice.project_by_name(name).is_some(), "{name}");
    }
}

/// A law over worlds without roles would prove nothing.
#[test]
fn the_random_pasts_reach_every_kind_of_reason() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut rules: BTreeMap<Rule, u32> = BTreeMap::new();
    // What was removed with everything that it held, and made again.
    let mut again: BTreeMap<&str, u32> = BTreeMap::new();
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    let mut links: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..300 {
        let history = past().new_tree(&mut runner).unwrap().current();
        let past = Past::of(&history, false);
        kinds.extend(past.records.iter().map(|record| record.event.kind.to_string()));
        links.extend(links_met(&history.0));
        for (made, removed) in [("service.created", "service.removed"), ("group.upserted", "group.removed")] {
            let applied = |record: &&Recorded, kind: &str| {
                let subject = (record.event.key.source.to_string(), record.event.subject.to_string());
                record.event.key.source.is_local()
                    && &*record.event.kind == format!("rollcall.{kind}.v1").as_str()
                    && past.found.0.get(&subject).is_some_and(|at| at.contains(&record.position))
            };
            let gone = past.records.iter().find(|record| applied(record, removed));
            let back = gone.and_then(|gone| {
                let later = past.records.iter().skip_while(|record| record.position <= gone.position);
                later.into_iter().find(|record| record.event.subject == gone.event.subject && applied(record, made))
            });
            *again.entry(removed).or_default() += u32::from(back.is_some());
        }
        for project in past.live.projects() {
            for member in members(&past.live, project, noon()) {
                for reason in member.reasons {
                    *rules.entry(reason.rule).or_default() += 1;
                }
            }
        }
    }
    for rule in [Rule::Binding, Rule::Customer, Rule::Group, Rule::Producer] {
        assert!(rules.get(&rule).is_some_and(|n| *n > 20), "{rules:?}");
    }
    assert!(again.values().all(|n| *n > 20), "{again:?}");
    // No answer about the past depends on runs and secrets.
    let elsewhere = |kind: &str| ["snapshot.", "secret.", "credentials."].iter().any(|noun| kind.contains(noun));
    let never: Vec<_> = Body::TYPES.iter().filter(|kind| !kinds.contains(**kind) && !elsewhere(kind)).collect();
    assert!(never.is_empty(), "{never:?}");
    assert_eq!(links.len(), KINDS_OF_LINKS, "{links:?}");
}

/// A case that the property found: two sources are suspended in another order than they became known in.
#[test]
fn a_slice_answers_as_the_log_cut_there_where_sources_are_suspended() {
    let said = [
        ("local", "source.suspended", None, r#"{"source":"corp"}"#),
        ("corp", "person.upserted", Some(1), r#"{"person":"q1","account":null,"active":false}"#),
        ("flexnet", "person.upserted", Some(1), r#"{"person":"p3","account":"a3","active":false}"#),
        (
            "local",
            "identity.linked",
            None,
            r#"{"persons":[{"source":"flexnet","person":"p3"},{"source":"corp","person":"q1"}]}"#,
        ),
        ("corp", "group.member.removed", Some(1), r#"{"group":"g0","member":{"person":"q1"}}"#),
        ("local", "source.suspended", None, r#"{"source":"flexnet"}"#),
        (
            "local",
            "identity.unlinked",
            None,
            r#"{"persons":[{"source":"flexnet","person":"p0"},{"source":"corp","person":"q0"}]}"#,
        ),
    ];
    for (sub_accounts, personal) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut history = History::settings(sub_accounts);
        history.say("local", "profile.set", None, &past_profile(personal));
        for (source, kind, data) in BEFORE {
            history.say(source, kind, (*source != "local").then_some(0), data);
        }
        said.iter().for_each(|(source, kind, sequence, data)| history.say(source, kind, *sequence, data));
        let past = Past::of(&history, false);
        for cut in 1..=past.records.len() {
            if let Err(why) = answers_as_cut(&past, cut) {
                panic!("sub-accounts {sub_accounts}, personal {personal}, cut {cut}: {why}");
            }
        }
    }
}
