//! What ends with what is removed, one sentence each.

use serde_json::json;

use super::installation::{ADMIN, Installation, bind, on, project, user};
use crate::roster::{Roster, handles::Principal};

#[test]
fn a_service_that_is_made_again_holds_nothing_and_is_in_no_group() {
    let mut book = Installation::of("harbor");
    for id in ["one", "two"] {
        book.done("project.created", &project(id, None));
    }
    book.done("service.created", &json!({"service": "robot"}));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &json!({"group": "crew", "member": {"service": "robot"}}));
    book.done("binding.set", &bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN));
    book.done("binding.set", &bind(&json!({"service": "robot"}), "guest", &on("two"), ADMIN));
    let robot = Principal::Service(book.roster.service_by_id("robot").unwrap());
    let (one, two) = (book.project("one"), book.project("two"));
    assert!(book.can(robot, "pull", one) && book.can(robot, "pull", two));
    book.done("service.removed", &json!({"service": "robot"}));
    assert_eq!(book.roster.bindings().count(), 1, "the group's own stays");
    book.done("service.created", &json!({"service": "robot"}));
    book.roster = Roster::from_snapshot(&book.roster.to_snapshot()).unwrap();
    assert!(!book.can(robot, "pull", one) && !book.can(robot, "pull", two));
    assert_eq!(book.roster.group_members(book.roster.group_by_id("local/crew").unwrap()).count(), 0);
    book.done("group.member.added", &json!({"group": "crew", "member": {"service": "robot"}}));
    assert!(book.can(robot, "pull", one), "it is let in again");
}

#[test]
fn a_group_that_is_made_again_is_empty_holds_nothing_and_is_in_no_group() {
    let mut book = Installation::of("harbor");
    for id in ["one", "two"] {
        book.done("project.created", &project(id, None));
    }
    for id in ["staff", "crew"] {
        book.done("group.upserted", &json!({"group": id}));
    }
    let inside = json!({"group": "crew", "member": {"person": "hub/ada"}});
    book.done("group.member.added", &inside);
    book.done("group.member.added", &json!({"group": "staff", "member": {"group": "local/crew"}}));
    book.done("binding.set", &bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN));
    book.done("binding.set", &bind(&json!({"group": "local/staff"}), "guest", &on("two"), ADMIN));
    let (one, two, ada) = (book.project("one"), book.project("two"), book.user("ada"));
    assert!(book.can(ada, "pull", one) && book.can(ada, "pull", two));
    book.done("group.removed", &json!({"group": "crew"}));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &inside);
    assert!(!book.can(ada, "pull", one) && !book.can(ada, "pull", two));
    let crew = book.roster.group_by_id("local/crew").unwrap();
    assert_eq!(book.roster.group_members(crew).count(), 1);
}

#[test]
fn a_project_that_is_made_again_has_its_new_creator_and_nobody_else() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("binding.set", &bind(&user("bob"), "guest", &on("one"), ADMIN));
    book.done("project.deleted", &json!({"project": "one"}));
    let one = book.project("one");
    assert!(book.roster.bindings().next().is_none() && !book.roster.is_ownerless(one, book.now));
    book.done("project.created", &project("one", Some("eve")));
    for (who, may) in [("ada", false), ("bob", false), ("eve", true)] {
        assert_eq!(book.can(book.user(who), "pull", one), may, "{who}");
    }
}
