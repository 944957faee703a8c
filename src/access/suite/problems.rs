//! Each kind of problem that the roster knows: it is found with its reason and what to do, and no more once it is mended.

use rollcall_events::Body;

use crate::{
    questions::problems::{Flaw, RosterProblem},
    roster::Roster,
    suite::histories::{History, noon},
};

/// Source, kind and data of an event.
type Saying = (&'static str, &'static str, &'static str);

/// Everything that a walk finds, in slices of `rows`.
fn found(roster: &Roster, problem: RosterProblem, rows: u32) -> Vec<Flaw> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let part = roster.problems(problem, from, rows);
        all.extend(part.found.into_iter().map(|(at, flaw)| {
            assert!(at >= from, "{flaw:?}");
            flaw
        }));
        match part.next {
            Some(next) if next > from => from = next,
            Some(next) => panic!("the walk stands at {next}"),
            None => return all,
        }
    }
}

/// What is said makes one problem of the kind, in which both texts are told; what is said after it ends it.
fn appears_and_ends(
    problem: RosterProblem,
    said: &[(&str, &str, &str)],
    (why, remedy): (&str, &str),
    mended: (&str, &str, &str),
) {
    let mut history = History::settings(false);
    assert_eq!(found(&history.fold(), problem, 3), [], "nothing was said yet");
    let say = |history: &mut History, (source, kind, data): (&str, &str, &str), sequence| {
        history.say(source, kind, (source != "local").then_some(sequence), data);
    };
    for one in said {
        say(&mut history, *one, 1);
    }
    let roster = history.fold();
    let flaws = found(&roster, problem, 1_000);
    assert!(!flaws.is_empty(), "{said:?}");
    assert!(flaws.iter().all(|flaw| flaw.why.contains(why) && flaw.remedy.contains(remedy)), "{flaws:#?}");
    for rows in [1, 2, 3] {
        assert_eq!(found(&roster, problem, rows), flaws, "in slices of {rows}");
    }
    say(&mut history, mended, 2);
    assert_eq!(found(&history.fold(), problem, 2), [], "{mended:?} mends it");
}

#[test]
fn a_fact_that_names_what_nobody_stated_is_a_problem_until_it_is_stated() {
    let dangling = RosterProblem::Dangling;
    let product = ("flexnet", "product.upserted", r#"{"product":"DB"}"#);
    let account = ("flexnet", "account.upserted", r#"{"account":"globex","kind":"customer"}"#);
    let entitlement = ("flexnet", "entitlement.upserted", r#"{"entitlement":"E","account":"globex","state":"active"}"#);
    let line = r#"{"line":"l","entitlement":"E","product":"DB","starts":null,"ends":null}"#;
    let line = ("flexnet", "entitlement.line.upserted", line);
    let package = ("flexnet", "package.upserted", r#"{"package":"K","producer":"globex","container_delivery":true}"#);
    let person = ("flexnet", "person.upserted", r#"{"person":"ada","account":"globex","active":true}"#);
    let group = ("corp", "group.upserted", r#"{"group":"devs"}"#);
    let member = ("corp", "group.member.added", r#"{"group":"devs","member":{"person":"bo"}}"#);
    let permission = r#"{"person":"ada","permission":"view_and_manage_download_packages"}"#;
    let cases: &[(&[Saying], &str, Saying)] = &[
        (&[entitlement], "account globex was never stated", account),
        (&[person], "account globex was never stated", account),
        (&[package], "account globex was never stated", account),
        (
            &[("flexnet", "account.upserted", r#"{"account":"lab","kind":"customer","parent":"globex"}"#)],
            "account globex was never stated",
            account,
        ),
        (&[account, product, line], "entitlement E was never stated", entitlement),
        (&[account, entitlement, line], "product DB was never stated", product),
        (
            &[product, ("flexnet", "package.product.mapped", r#"{"package":"K","product":"DB"}"#)],
            "package K was never stated",
            ("flexnet", "package.product.unmapped", r#"{"package":"K","product":"DB"}"#),
        ),
        (
            &[
                account,
                entitlement,
                ("flexnet", "entitlement.person.assigned", r#"{"entitlement":"E","person":"ada"}"#),
            ],
            "person ada was never stated",
            person,
        ),
        (&[account, ("flexnet", "permission.granted", permission)], "person ada was never stated", person),
        (&[group, member], "person corp/bo was never stated", ("corp", "group.removed", r#"{"group":"none"}"#)),
        (
            &[("corp", "person.upserted", r#"{"person":"bo","account":null,"active":true}"#), member],
            "group corp/devs was never stated",
            group,
        ),
    ];
    for (said, why, mended) in cases {
        // A member is mended by who it is.
        let bo = ("corp", "person.upserted", r#"{"person":"bo","account":null,"active":true}"#);
        let mended = if why.contains("corp/bo") { bo } else { *mended };
        appears_and_ends(dangling, said, (why, "have source "), mended);
    }
}

#[test]
fn a_cycle_of_accounts_is_a_problem_until_it_is_broken() {
    let above =
        |account: &str, parent: &str| format!(r#"{{"account":"{account}","kind":"customer","parent":"{parent}"}}"#);
    let (one, two, apart) =
        (above("a", "b"), above("b", "a"), r#"{"account":"a","kind":"customer","parent":null}"#.to_owned());
    let said = [("flexnet", "account.upserted", &*one), ("flexnet", "account.upserted", &*two)];
    let told = ("account b closed a cycle of parents (event 3)", "state another parent");
    appears_and_ends(RosterProblem::Cycle, &said, told, ("flexnet", "account.upserted", &apart));
}

#[test]
fn a_state_that_only_a_newer_version_knows_gives_nothing_and_is_a_problem() {
    let said = [
        ("flexnet", "account.upserted", r#"{"account":"globex","kind":"customer"}"#),
        ("flexnet", "entitlement.upserted", r#"{"entitlement":"E","account":"globex","state":"paused","until":null}"#),
    ];
    let active = r#"{"entitlement":"E","account":"globex","state":"active"}"#;
    let told = ("only `active` gives access", "source flexnet was made for");
    appears_and_ends(RosterProblem::UnknownState, &said, told, ("flexnet", "entitlement.upserted", active));
}

#[test]
fn a_package_whose_projects_name_is_taken_or_none_is_a_problem_until_it_has_another() {
    let package = |id: &str, name: &str| {
        format!(r#"{{"package":"{id}","project_name":"{name}","producer":"a","container_delivery":true}}"#)
    };
    let (one, two, other) = (package("K", "acme"), package("L", "acme"), package("L", "nova"));
    let said = [("flexnet", "package.upserted", &*one), ("flexnet", "package.upserted", &*two)];
    let told = ("name taken: project acme belongs to package K", "another project_name");
    appears_and_ends(RosterProblem::ProjectName, &said, told, ("flexnet", "package.upserted", &other));
    let bad = package("L", "-no-");
    let said = [("flexnet", "package.upserted", &*bad)];
    appears_and_ends(RosterProblem::Parked, &said, ("", "say it anew"), ("flexnet", "package.upserted", &other));
}

#[test]
fn a_role_that_gives_nothing_is_a_problem_until_it_does() {
    let group = ("corp", "group.upserted", r#"{"group":"devs"}"#);
    let role = r#"{"principal":{"group":"corp/devs"},"role":"System of record","scope":"root","author":"admin key"}"#;
    let gone = ("corp", "group.removed", r#"{"group":"devs"}"#);
    let mut history = History::settings(false);
    for (n, (source, kind, data)) in [group, ("local", "binding.set", role), gone].into_iter().enumerate() {
        history.say(source, kind, (source != "local").then_some(n as u64 + 1), data);
    }
    let flaws = found(&history.fold(), RosterProblem::Binding, 10);
    assert!(flaws.len() == 1 && flaws[0].why == "group corp/devs is not there", "{flaws:?}");
    history.say("corp", "group.upserted", Some(9), r#"{"group":"devs"}"#);
    assert_eq!(found(&history.fold(), RosterProblem::Binding, 10), []);
}

#[test]
fn a_role_of_a_group_that_was_removed_names_the_one_group_that_is_called_so_now() {
    let mut history = History::settings(false);
    let group = |id: &str, name: &str| {
        format!(r#"{{"group":"{id}","name":"{name}","external_id":"cn={name},ou=groups,dc=ex"}}"#)
    };
    history.say("corp", "group.upserted", Some(1), &group("old", "devs"));
    let role = r#"{"principal":{"group":"corp/old"},"role":"System of record","scope":"root","author":"admin key"}"#;
    history.say("local", "binding.set", None, role);
    history.say("corp", "group.removed", Some(2), r#"{"group":"old"}"#);
    let told = |history: &History| found(&history.fold(), RosterProblem::Binding, 10).remove(0);
    assert_eq!(told(&history).why, "group corp/old (devs) is not there");
    history.say("corp", "group.upserted", Some(1), &group("other", "ops"));
    assert!(!told(&history).remedy.contains("made again"), "{:?}", told(&history));
    // Whoever says groups by webhook calls one so.
    history.say("flexnet", "group.upserted", Some(1), &group("posing", "devs"));
    assert!(!told(&history).remedy.contains("made again"), "{:?}", told(&history));
    history.say("corp", "group.upserted", Some(1), &group("new", "devs"));
    let way = "`rollcall bindings set group:corp/new 'System of record' root`";
    assert!(told(&history).remedy.contains(way), "{:?}", told(&history));
}

#[test]
fn a_user_name_that_is_taken_or_unusable_is_a_problem_until_the_source_asks_for_another() {
    let person = |source: &'static str, name: &str| {
        (source, "person.upserted", format!(r#"{{"person":"C-77","username":"{name}","account":null,"active":true}}"#))
    };
    let (first, second, other) = (person("flexnet", "bob"), person("corp", "bob"), person("corp", "bo"));
    let said = [(first.0, first.1, &*first.2), (second.0, second.1, &*second.2)];
    let mended = (other.0, other.1, &*other.2);
    appears_and_ends(RosterProblem::UserName, &said, ("flexnet", "signs in as"), mended);
    let bad = person("corp", "sys:admin");
    appears_and_ends(RosterProblem::UserName, &[(bad.0, bad.1, &*bad.2)], ("", "a user name that can be used"), mended);
}

/// Else whoever says groups by webhook is meant by the name of a directory that was not read yet.
#[test]
fn a_configured_source_is_one_before_a_groups_name_also_while_it_said_nothing_yet() {
    let mut history = History::settings(false);
    history.say("flexnet", "group.upserted", Some(1), r#"{"group":"posing","name":null,"external_id":"corp/devs"}"#);
    assert_eq!(history.fold().groups_called("corp/devs"), []);
    assert_eq!(history.fold().groups_called("flexnet/corp/devs").len(), 1);
}

/// Else it would be in it again, with all that it gives, as soon as its source has it again.
#[test]
fn a_group_that_was_removed_can_be_taken_out_of_one_that_is_kept_here() {
    let mut history = History::settings(false);
    history.say("corp", "group.upserted", Some(1), r#"{"group":"old","name":"devs"}"#);
    history.say("local", "group.upserted", None, r#"{"group":"crew","name":null,"author":"test"}"#);
    let member = r#"{"group":"crew","member":{"group":"corp/old"},"author":"admin key"}"#;
    history.say("local", "group.member.added", None, member);
    history.say("corp", "group.removed", Some(2), r#"{"group":"old"}"#);
    let told = |history: &History| found(&history.fold(), RosterProblem::Dangling, 10);
    assert_eq!(told(&history).remove(0).remedy, "take it out: `rollcall groups take crew group:corp/old`");
    history.say("corp", "group.upserted", Some(1), r#"{"group":"new","name":"devs"}"#);
    assert!(told(&history).remove(0).remedy.contains("`rollcall groups add crew group:corp/new`"));
    let command = |kind: &str| Body::parse(&format!("rollcall.group.member.{kind}.v1"), member).unwrap();
    let roster = history.fold();
    assert!(roster.check_command(&command("removed"), noon()).is_ok());
    assert!(roster.check_command(&command("added"), noon()).is_err(), "it comes to none");
    history.say("local", "group.member.removed", None, member);
    assert_eq!(told(&history), []);
}

#[test]
fn a_member_of_a_group_kept_here_who_is_gone_is_taken_out_by_the_command_that_is_named() {
    let mut history = History::settings(false);
    let said = [
        ("corp", "person.upserted", r#"{"person":"bo","account":null,"active":true}"#),
        ("local", "group.upserted", r#"{"group":"g2","author":"admin key"}"#),
        ("local", "group.member.added", r#"{"group":"g2","member":{"person":"corp/bo"},"author":"admin key"}"#),
        ("corp", "person.removed", r#"{"person":"bo"}"#),
    ];
    for (n, (source, kind, data)) in said.into_iter().enumerate() {
        history.say(source, kind, (source != "local").then_some(n as u64 + 1), data);
    }
    let flaws = found(&history.fold(), RosterProblem::Dangling, 10);
    let [flaw] = flaws.as_slice() else { panic!("{flaws:?}") };
    assert_eq!(flaw.remedy, "take it out: `rollcall groups take g2 user:corp/bo`");
}

#[test]
fn an_id_of_another_source_that_is_nobodys_there_is_a_problem_until_somebody_has_it() {
    let entry = r#"{"person":"e1","username":"bob","account":null,"active":true,"same_as":[{"source":"flexnet","person":"C-1"}]}"#;
    let contact = r#"{"person":"C-1","username":"robert","account":null,"active":true}"#;
    let mut history = History::settings(false);
    history.say("flexnet", "person.upserted", Some(1), r#"{"person":"C-9","account":null,"active":true}"#);
    history.say("corp", "person.upserted", Some(1), entry);
    let flaws = found(&history.fold(), RosterProblem::Link, 10);
    let [flaw] = flaws.as_slice() else { panic!("{flaws:?}") };
    assert_eq!(
        (flaw.said.as_str(), flaw.why.as_str()),
        ("person e1 is flexnet/C-1", "source flexnet states no such person")
    );
    history.say("flexnet", "person.upserted", Some(1), contact);
    let flaws = found(&history.fold(), RosterProblem::Link, 10);
    assert!(flaws.len() == 1 && flaws[0].why.starts_with("nobody confirmed yet"), "{flaws:?}");
    history.say("flexnet", "person.removed", Some(2), r#"{"person":"C-1"}"#);
    assert_eq!(found(&history.fold(), RosterProblem::Link, 10).len(), 1);
    history.say("local", "source.retired", None, r#"{"source":"flexnet"}"#);
    assert_eq!(found(&history.fold(), RosterProblem::Link, 10), [], "nobody of it will ever come");
}
