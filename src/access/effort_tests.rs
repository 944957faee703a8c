//! What questions cost, counted in rows that are looked at: they grow with the answer, and end at their bound.

use std::ops::Bound;

use rollcall_events::LogId;

use crate::{
    effort::{Effort, GivenUp},
    past::slice::{Basis, PastQuestion, ScopeName},
    persistent::work,
    questions::{
        members::{MembersPage, candidates_by_name, next_members},
        report::who_may,
    },
    roster::Roster,
    suite::histories::{History, noon},
};

/// A customer, as many others who bought the same, and as many who are assigned to what the first bought.
fn world(others: usize) -> Roster {
    let mut history = History::settings(false);
    let mut say = |kind: &str, data: String| history.say("flexnet", kind, Some(0), &data);
    say("account.upserted", r#"{"account":"vendor","kind":"producer"}"#.to_owned());
    say("product.upserted", r#"{"product":"d"}"#.to_owned());
    say("package.upserted", r#"{"package":"k","producer":"vendor","container_delivery":true}"#.to_owned());
    say("package.product.mapped", r#"{"package":"k","product":"d"}"#.to_owned());
    for n in 0..=others {
        say("account.upserted", format!(r#"{{"account":"a{n}","kind":"customer"}}"#));
        say("person.upserted", format!(r#"{{"person":"p{n}","username":"user{n}","account":"a{n}","active":true}}"#));
        say("entitlement.upserted", format!(r#"{{"entitlement":"e{n}","account":"a{n}","state":"active"}}"#));
        say(
            "entitlement.line.upserted",
            format!(r#"{{"line":"l{n}","entitlement":"e{n}","product":"d","starts":null,"ends":null}}"#),
        );
        say("entitlement.person.assigned", format!(r#"{{"entitlement":"e0","person":"p{n}"}}"#));
    }
    let mut roster = Roster::new(LogId([7; 8]));
    for event in history.0 {
        crate::suite::histories::fold_next(&mut roster, event, noon());
    }
    roster
}

fn rows_for(roster: &Roster, about: PastQuestion<'_>) -> u64 {
    let effort = Effort::unbounded();
    roster.relevant_subjects(about, Basis::Recorded, &effort).unwrap();
    effort.spent()
}

#[test]
fn a_question_of_the_past_about_one_person_costs_the_same_however_many_others_there_are() {
    let (few, many) = (world(3), world(300));
    for about in
        [PastQuestion::Access { user: Some("flexnet/p0"), scope: ScopeName::Project("k") }, PastQuestion::User("user0")]
    {
        assert_eq!(rows_for(&few, about), rows_for(&many, about), "{about:?}");
    }
    assert!(rows_for(&many, PastQuestion::Members("k")) > 300);
}

#[test]
fn a_page_of_members_costs_what_it_shows() {
    let roster = world(300);
    let project = roster.project_by_name("k").unwrap();
    let effort = Effort::unbounded();
    let page = MembersPage { only: None, viewer: None, after: Some(("user100", "")), limit: 10 };
    let all = candidates_by_name(&roster, project, &effort).unwrap();
    assert_eq!(next_members(&roster, project, noon(), page, &all, &effort).unwrap().len(), 10);
    assert_eq!(effort.spent(), 10);
}

#[test]
fn a_page_of_a_list_looks_at_what_it_shows_wherever_it_begins_and_however_many_there_are() {
    let rows = |others: usize, after: &str| {
        let roster = world(others);
        let page = |after| roster.users_by_name(Bound::Excluded(after)).take(3).count();
        // Whoever lists first has the names put in order.
        assert_eq!(page("user0"), 3);
        let before = work::so_far();
        assert_eq!(page(after), 3);
        work::so_far() - before
    };
    let first = rows(8, "user1");
    for (others, after) in [(300, "user1"), (300, "user150"), (300, "user95")] {
        let rows = rows(others, after);
        assert!(rows <= first + 64, "{rows} rows for a page after {after} of {others}, {first} of 8");
    }
}

/// So many of a directory, all of one user name, who are each said to be a contact; and two of it whom somebody parted.
fn namesakes(many: usize, parted: bool) -> Roster {
    let mut history = History::settings(false);
    let linked =
        r#"{"persons":[{"source":"corp","person":"u-0"},{"source":"flexnet","person":"c-0"}],"rule":"stated"}"#;
    history.say("local", "identity.linked", None, linked);
    if parted {
        let pair = r#"{"persons":[{"source":"corp","person":"u-1"},{"source":"lab","person":"u-1"}]}"#;
        history.say("local", "identity.unlinked", None, pair);
    }
    for n in 0..many {
        let contact = format!(r#"{{"person":"c-{n}","account":null,"active":true}}"#);
        history.say("flexnet", "person.upserted", Some(1), &contact);
        let same = format!(r#"[{{"source":"flexnet","person":"c-{n}"}}]"#);
        let person =
            format!(r#"{{"person":"u-{n}","username":"guest","account":null,"active":true,"same_as":{same}}}"#);
        history.say("corp", "person.upserted", Some(1), &person);
    }
    history.fold()
}

#[test]
fn what_a_source_says_of_one_costs_the_same_however_many_others_ask_for_the_name_and_of_too_many_it_is_in_doubt() {
    let rows = |many: usize, parted: bool| {
        let roster = namesakes(many, parted);
        let before = work::so_far();
        let due = roster.due_links(0, u32::MAX).0.len();
        ((work::so_far() - before) / u64::try_from(many).unwrap(), due)
    };
    for parted in [false, true] {
        let ((few, _), (many, due)) = (rows(300, parted), rows(1_200, parted));
        assert!(many <= few + 64, "parted: {parted}, {many} rows for each of 1200, {few} for each of 300");
        // Where nobody was parted nobody is in doubt. The first one was linked before.
        assert_eq!(due, if parted { 0 } else { 1_199 });
    }
    let found = namesakes(300, true).linkable(crate::questions::links::LinkRule::Stated, "corp", "", false);
    assert_eq!((found.pairs.len(), found.left_out.len()), (0, 299));
    assert!(found.left_out[0].why.starts_with("more than 256 people of source corp ask for the user name guest"));
    assert_eq!(namesakes(200, true).due_links(0, u32::MAX).0.len(), 199, "of so many it is known who was parted");
}

#[test]
fn whose_a_name_is_costs_the_same_however_many_of_another_source_ask_for_it() {
    let rows = |others: usize| {
        let mut history = History::settings(false);
        let asks = |person: String| format!(r#"{{"person":"{person}","username":"bob","account":null,"active":true}}"#);
        history.say("lab", "person.upserted", Some(1), &asks("first".to_owned()));
        (0..others).for_each(|n| history.say("flexnet", "person.upserted", Some(1), &asks(format!("c-{n}"))));
        (0..20).for_each(|n| history.say("corp", "person.upserted", Some(1), &asks(format!("u-{n}"))));
        let roster = history.fold();
        let first = roster.person_of("corp/u-0").unwrap();
        let before = work::so_far();
        assert_eq!(roster.due_names(first, 20, noon()).0.len(), 1);
        work::so_far() - before
    };
    let (few, many) = (rows(20), rows(1_000));
    assert!(many <= few + few / 10, "{many} rows where 1000 others ask, {few} where 20 do");
}

#[test]
fn a_question_is_given_up_at_its_bound_and_when_nobody_waits() {
    let roster = world(300);
    let project = roster.project_by_name("k").unwrap();
    let pull = roster.profile().registry_action(crate::profile::Verb::Pull).unwrap();
    let few = || Effort::of(50, &|| true);
    assert_eq!(who_may(&roster, project, pull, noon(), &few()).unwrap_err(), GivenUp::TooMuch(50));
    let subjects = roster.relevant_subjects(PastQuestion::Members("k"), Basis::Recorded, &few());
    assert_eq!(subjects.unwrap_err(), GivenUp::TooMuch(50));
    let gone = Effort::of(u64::MAX, &|| false);
    assert_eq!(who_may(&roster, project, pull, noon(), &gone).unwrap_err(), GivenUp::Abandoned);
    assert_eq!(gone.spent(), 0);
}
