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
