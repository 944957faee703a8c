//! What an administrator's command may not do, one sentence each. A refused command changes nothing.
//! Long because it is one list of sentences.

use chrono::{DateTime, Duration, Utc};
use rollcall_events::Body;
use serde_json::{Value, json};

use super::{
    installation::{ADMIN, Installation, bind, on, project, user},
    worlds::bundled,
};
use crate::{
    decide::{Verdict, decide},
    fold::change::Effect,
    profile::Profile,
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind},
    },
    suite::histories::noon,
};

fn with(mut data: Value, key: &str, value: impl Into<Value>) -> Value {
    data[key] = value.into();
    data
}

#[test]
fn the_creator_of_a_project_has_its_role_from_the_same_step_on_and_nobody_elses() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("project.created", &project("two", Some("bob")));
    let (one, two) = (book.project("one"), book.project("two"));
    for (who, place, may) in [("ada", one, true), ("bob", one, false), ("bob", two, true), ("ada", two, false)] {
        assert_eq!(book.can(book.user(who), "manage_members", place), may, "{who}");
    }
}

#[test]
fn the_last_owner_stays_whoever_the_owner_is_and_however_the_role_would_end() {
    let owner = |who: &Value| bind(who, "project_admin", &on("one"), ADMIN);
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.refused("binding.removed", &owner(&user("ada")), "would be left without project_admin");
    // Neither by a window that is over, nor has not begun, nor will be over.
    for (key, hours) in [("ends", -1), ("starts", 1), ("ends", 1)] {
        let time = (noon() + Duration::hours(hours)).to_rfc3339();
        book.refused("binding.set", &with(owner(&user("ada")), key, time), "would be left without project_admin");
    }
    // A group with one member is one owner.
    book.done("group.upserted", &json!({"group": "crew"}));
    let member = json!({"group": "crew", "member": {"person": "hub/bob"}});
    book.done("group.member.added", &member);
    let crew = json!({"group": "local/crew"});
    book.done("binding.set", &owner(&crew));
    book.done("binding.removed", &owner(&user("ada")));
    book.refused("group.member.removed", &member, "would be left without project_admin");
    book.refused("group.removed", &json!({"group": "crew"}), "would be left without project_admin");
    // So is a service.
    book.done("service.created", &json!({"service": "robot"}));
    book.done("binding.set", &owner(&json!({"service": "robot"})));
    book.done("group.removed", &json!({"group": "crew"}));
    book.refused("service.removed", &json!({"service": "robot"}), "would be left without project_admin");
    // A suspended owner is none.
    book.done("binding.set", &owner(&user("eve")));
    book.fact("hub", "person.upserted", &json!({"person": "eve", "account": null, "active": false}));
    book.refused("service.removed", &json!({"service": "robot"}), "would be left without project_admin");
    assert!(!book.roster.is_ownerless(book.project("one"), book.now));
}

#[test]
fn an_owner_whose_role_ends_does_not_take_the_place_of_one_whose_role_does_not() {
    let owner = |who: &str| bind(&user(who), "project_admin", &on("one"), ADMIN);
    let hours = |n: i64| (noon() + Duration::hours(n)).to_rfc3339();
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("binding.set", &with(owner("bob"), "ends", hours(1)));
    book.refused("binding.removed", &owner("ada"), "would be left without project_admin when the roles of the others");
    book.refused("binding.set", &with(owner("ada"), "ends", hours(1)), "would be left without project_admin");
    // Nor where a third one begins only later.
    book.done("binding.set", &with(owner("eve"), "starts", hours(2)));
    book.refused("binding.removed", &owner("ada"), "would be left without project_admin when the roles of the others");
    book.done("binding.set", &with(owner("bob"), "ends", hours(2)));
    book.done("binding.removed", &owner("ada"));
    // Nor does a group, or a service, whose role ends.
    book.done("service.created", &json!({"service": "robot"}));
    let robot = bind(&json!({"service": "robot"}), "project_admin", &on("one"), ADMIN);
    book.done("binding.set", &robot);
    book.done("binding.removed", &owner("eve"));
    book.refused("service.removed", &json!({"service": "robot"}), "would be left without project_admin when");
    book.done("binding.removed", &owner("bob"));
}

#[test]
fn a_project_that_was_given_to_nobody_is_shown_as_ownerless() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", None));
    assert!(book.roster.is_ownerless(book.project("one"), book.now));
    book.done("binding.set", &bind(&user("ada"), "guest", &on("one"), ADMIN));
    assert!(book.roster.is_ownerless(book.project("one"), book.now));
    book.done("binding.set", &bind(&user("ada"), "project_admin", &on("one"), ADMIN));
    assert!(!book.roster.is_ownerless(book.project("one"), book.now));
    // Where no role of which one has to stay is given on a project, nobody is missed.
    let mut book = Installation::of("portus");
    book.done("project.created", &project("one", None));
    assert!(!book.roster.is_ownerless(book.project("one"), book.now));
}

#[test]
fn a_right_in_the_registry_takes_away_no_more_of_rollcall_itself_than_it_gives() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    let auditor = bind(&user("bob"), "api:auditor", &on("one"), ADMIN);
    book.done("binding.set", &auditor);
    book.refused("binding.removed", &with(auditor.clone(), "author", "user:hub/ada"), "role api:auditor is more than");
    book.done("binding.removed", &with(auditor.clone(), "author", "user:hub/bob"));
    book.done("binding.set", &auditor);
    book.done("binding.removed", &auditor);
}

#[test]
fn a_giver_gives_any_role_of_the_registry_where_a_giver_and_none_of_rollcall_itself() {
    let mut book = Installation::of("ibm");
    book.done("project.created", &project("one", None));
    let give = |role: &str| bind(&user("bob"), role, &on("one"), "user:hub/ada");
    book.refused("binding.set", &give("Reader"), "may not do this here");
    book.done("binding.set", &bind(&user("ada"), "Manager", &json!("root"), ADMIN));
    book.refused("binding.set", &give("Reader"), "may not do this here");
    book.done("binding.set", &bind(&user("ada"), "Administrator", &json!("root"), ADMIN));
    book.done("binding.removed", &bind(&user("ada"), "Manager", &json!("root"), ADMIN));
    book.done("binding.set", &give("Reader"));
    book.done("binding.set", &with(give("Manager"), "scope", "root"));
    book.refused("binding.set", &give("api:auditor"), "role api:auditor is more than the giver has");
    let mut without = bundled("ibm");
    without["rules"]["givers"] = json!([]);
    book.done("profile.set", &without);
    book.refused("binding.set", &give("Writer"), "role Writer is more than the giver has");
}

#[test]
fn an_administrator_is_raised_for_as_long_as_the_administration_runs() {
    let team = json!({"folder": "team"});
    let at = |hours: i64| noon() + Duration::hours(hours);
    let mut book = Installation::of("portus");
    book.done("folder.upserted", &json!({"folder": "team", "kind": "team"}));
    let held = |book: &Installation| -> Vec<(String, Option<DateTime<Utc>>)> {
        let place = Place::Folder(book.roster.folder_by_id("team").unwrap());
        let mut rows: Vec<_> = book.roster.bindings_on(place).map(|row| (row.role.to_owned(), row.ends)).collect();
        rows.sort();
        rows
    };
    let root = bind(&user("ada"), "admin", &json!("root"), ADMIN);
    // Not before it begins.
    book.done("binding.set", &with(root.clone(), "starts", at(1).to_rfc3339()));
    book.done("binding.set", &bind(&user("ada"), "viewer", &team, ADMIN));
    assert_eq!(held(&book), [("viewer".to_owned(), None)]);
    // Not after it ends, and what was given stays.
    book.done("binding.set", &with(root, "ends", at(2).to_rfc3339()));
    assert_eq!(held(&book), [("owner".to_owned(), Some(at(2))), ("viewer".to_owned(), None)]);
    book.now = at(1);
    book.done("binding.set", &bind(&user("ada"), "contributor", &team, ADMIN));
    let both = ["contributor", "viewer"].map(|role| (role.to_owned(), None));
    assert_eq!(held(&book)[..], [&both[..1], &[("owner".to_owned(), Some(at(2)))], &both[1..]].concat());
}

#[test]
fn a_fact_of_a_source_takes_the_last_owner_along_and_the_project_is_shown_as_ownerless() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    assert!(!book.roster.is_ownerless(book.project("one"), book.now));
    assert_eq!(book.fact("hub", "person.removed", &json!({"person": "ada"})), Effect::Applied);
    assert!(book.roster.is_ownerless(book.project("one"), book.now));
}

#[test]
fn an_administrator_is_raised_where_a_member_whichever_comes_first() {
    let (team, below) = (json!({"folder": "team"}), json!({"folder": "team2"}));
    let mut book = Installation::of("portus");
    for id in ["team", "team2"] {
        book.done("folder.upserted", &json!({"folder": id, "kind": "team"}));
    }
    let place = |book: &Installation, id: &str| Place::Folder(book.roster.folder_by_id(id).unwrap());
    let roles = |book: &Installation, id: &str| -> Vec<String> {
        book.roster.bindings_on(place(book, id)).map(|row| row.role.to_owned()).collect()
    };
    book.done("binding.set", &bind(&user("ada"), "viewer", &team, ADMIN));
    book.done("binding.set", &bind(&user("ada"), "admin", &json!("root"), ADMIN));
    assert!(roles(&book, "team").contains(&"owner".to_owned()));
    // What is held already is not cut short by a shorter one.
    book.done("binding.set", &bind(&user("ada"), "owner", &below, ADMIN));
    let soon = (noon() + Duration::hours(1)).to_rfc3339();
    book.fact("local", "binding.set", &with(bind(&user("ada"), "viewer", &below, ADMIN), "ends", soon));
    assert_eq!(roles(&book, "team2"), ["owner"]);
    assert_eq!(book.roster.bindings_on(place(&book, "team2")).next().unwrap().ends, None);
    // Whose administration is over is an administrator no more.
    let over = (noon() - Duration::hours(1)).to_rfc3339();
    book.done("binding.set", &with(bind(&user("bob"), "admin", &json!("root"), ADMIN), "ends", over));
    book.done("binding.set", &bind(&user("bob"), "viewer", &team, ADMIN));
    assert!(roles(&book, "team").contains(&"viewer".to_owned()));
}

#[test]
fn there_is_one_global_project_and_it_is_never_private() {
    let mut book = Installation::of("portus");
    let global = |id: &str, visibility: &str| with(with(project(id, None), "kind", "global"), "visibility", visibility);
    book.refused("project.created", &global("all", "private"), "never private");
    book.done("project.created", &global("all", "public"));
    book.refused("project.created", &global("more", "public"), "there is one global project, and it is all");
    book.refused("project.updated", &global("all", "private"), "never private");
    book.refused("project.deleted", &json!({"project": "all"}), "stays");
    assert!(book.can(Principal::Anyone, "pull", book.project("all")));
    let mut odd = bundled("portus");
    odd["kinds"]["global"]["visibility"] = json!(["private", "public"]);
    assert!(Profile::from_json(&odd.to_string()).unwrap_err().what.contains("never private"));
}

#[test]
fn a_personal_project_has_its_user_and_nobody_else_and_its_name_is_kept_for_it() {
    let mut book = Installation::of("portus");
    book.refused("project.created", &project("ada", None), "name taken");
    book.refused("project.created", &with(project("mine", None), "kind", "personal"), "come by themselves");
    let own = book.project("ada");
    assert!(book.can(book.user("ada"), "push", own) && !book.can(book.user("bob"), "pull", own));
    book.refused(
        "binding.set",
        &bind(&user("bob"), "viewer", &json!({"project": "personal/hub/ada"}), ADMIN),
        "no project",
    );
    book.fact("hub", "person.upserted", &json!({"person": "ada", "account": null, "active": false}));
    assert!(book.roster.project_by_name("ada").is_none());
}

#[test]
fn nobody_gives_more_than_he_or_she_has() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    let give = |role: &str| bind(&user("bob"), role, &on("one"), "user:hub/ada");
    book.done("binding.set", &give("maintainer"));
    book.refused("binding.set", &give("api:project_admin"), "role api:project_admin is more than the giver has");
    book.refused("binding.set", &with(give("developer"), "author", "user:hub/bob"), "may not do this here");
    // The API's project administrator gives any role of the registry, and of the API's own no more than his or hers.
    book.done("binding.set", &bind(&user("eve"), "api:project_admin", &on("one"), ADMIN));
    book.done("binding.set", &with(give("project_admin"), "author", "user:hub/eve"));
    book.done("binding.set", &with(give("api:project_admin"), "author", "user:hub/eve"));
    book.refused("binding.set", &with(give("api:auditor"), "author", "user:hub/eve"), "more than the giver has");
    book.refused("binding.set", &bind(&user("bob"), "system_admin", &json!("root"), "user:hub/eve"), "may not do this");
}

#[test]
fn a_role_that_a_ceiling_spares_is_given_by_those_whom_it_spares() {
    let mut odd = bundled("harbor");
    odd["roles"]["trusted"] = json!({"actions": ["image.push", "image.pull"], "at": ["project"]});
    odd["settings"]["frozen"] = json!({"values": ["no", "yes"], "default": "yes"});
    odd["ceiling"] =
        json!([{"id": "frozen", "actions": ["image.push"], "when": {"frozen": "yes"}, "exempt_roles": ["trusted"]}]);
    let mut book = Installation::with(&odd);
    book.done("project.created", &project("one", Some("ada")));
    assert!(!book.can(book.user("ada"), "push", book.project("one")));
    let own = bind(&user("ada"), "trusted", &on("one"), "user:hub/ada");
    book.refused("binding.set", &own, "ceiling frozen binds the giver");
    book.done("binding.set", &with(own, "author", ADMIN));
    assert!(book.can(book.user("ada"), "push", book.project("one")));
}

#[test]
fn an_exemption_from_a_ceiling_ends_with_the_role_that_it_rests_on() {
    let mut book = Installation::of("portus");
    book.done("settings.set", &json!({"switches": {"push_policy": "admin-only"}}));
    book.done("folder.upserted", &json!({"folder": "team", "kind": "team"}));
    book.done("project.created", &with(with(project("one", None), "folder", "team"), "kind", "standard"));
    book.done("binding.set", &bind(&user("ada"), "owner", &json!({"folder": "team"}), ADMIN));
    let end = noon() + Duration::hours(1);
    book.done("binding.set", &with(bind(&user("ada"), "admin", &json!("root"), ADMIN), "ends", end.to_rfc3339()));
    let push = book.roster.profile().operation("push").unwrap();
    let verdict = decide(&book.roster, book.user("ada"), push, book.project("one"), book.now);
    assert_eq!(verdict, Verdict::Allowed { until: Some(end) });
}

#[test]
fn a_switch_that_says_nonsense_lifts_no_ceiling() {
    let mut book = Installation::of("portus");
    book.done("settings.set", &json!({"switches": {"push_policy": "everything"}}));
    assert!(!book.can(book.user("ada"), "push", book.project("ada")));
}

#[test]
fn a_role_that_is_not_there_or_not_for_this_level_is_refused_and_the_roles_are_named() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", None));
    book.refused("binding.set", &bind(&user("ada"), "chief", &on("one"), ADMIN), "the roles are developer, guest");
    book.refused(
        "binding.set",
        &bind(&user("ada"), "guest", &json!("root"), ADMIN),
        "granted at level project: name a project (`project:NAME`)",
    );
    book.refused("binding.set", &bind(&user("ada"), "api:administrator", &on("one"), ADMIN), "level installation");
    book.refused("binding.set", &bind(&user("zoe"), "guest", &on("one"), ADMIN), "there is no user `hub/zoe`");
}

#[test]
fn a_managed_project_is_its_sources_and_an_api_role_on_it_is_not() {
    let mut book = Installation::of("revenera");
    book.fact("flexnet", "package.upserted", &json!({"package": "db", "producer": "a", "container_delivery": true}));
    let scope = json!({"project": "flexnet/db"});
    book.refused("binding.set", &bind(&user("ada"), "Guest", &scope, ADMIN), "managed by source flexnet");
    book.done("binding.set", &bind(&user("ada"), "api:auditor", &scope, ADMIN));
    assert!(book.roster.allows(book.user("ada"), "member.list", book.project("db"), book.now));
}

#[test]
fn folders_go_down_the_levels_are_never_in_themselves_and_are_removed_empty() {
    let mut book = Installation::of("ibm");
    let folder = |id: &str, kind: &str, parent: Option<&str>| json!({"folder": id, "kind": kind, "parent": parent});
    book.done("folder.upserted", &folder("eu", "region", None));
    book.done("folder.upserted", &folder("dev", "resource_group", Some("eu")));
    book.refused("folder.upserted", &folder("x", "namespace", None), "no level `namespace` above its projects");
    book.refused("folder.upserted", &folder("us", "region", Some("dev")), "cannot be in folder dev");
    book.refused("folder.upserted", &folder("eu", "account", None), "is a region and stays one");
    book.refused("folder.removed", &json!({"folder": "eu"}), "folder dev is in it");
    book.done("project.created", &with(project("one", None), "folder", "dev"));
    book.refused("folder.removed", &json!({"folder": "dev"}), "project one is in it");
    // A profile that turns the levels round does not make a circle possible.
    let mut turned = bundled("ibm");
    turned["levels"] = json!(["account", "resource_group", "region", "namespace"]);
    book.done("profile.set", &turned);
    book.refused("folder.upserted", &folder("eu", "region", Some("dev")), "would be in itself");
}

#[test]
fn a_folder_of_a_kind_that_a_new_profile_lacks_gives_nothing_and_its_projects_stay() {
    let mut book = Installation::of("ibm");
    book.done("folder.upserted", &json!({"folder": "eu", "kind": "region"}));
    book.done("project.created", &with(project("one", None), "folder", "eu"));
    book.done("binding.set", &bind(&user("ada"), "Reader", &json!({"folder": "eu"}), ADMIN));
    let one = book.project("one");
    assert!(book.can(book.user("ada"), "docker pull :: Pull a container image.", one));
    let mut turned = bundled("ibm");
    turned["levels"] = json!(["account", "zone", "namespace"]);
    turned["limit"][0]["levels"] = json!(["account"]);
    for (_, role) in turned["roles"].as_object_mut().unwrap() {
        role["at"] = json!(["account", "namespace"]);
    }
    book.done("profile.set", &turned);
    assert!(!book.can(book.user("ada"), "docker pull :: Pull a container image.", one));
    book.done("binding.set", &bind(&user("ada"), "Reader", &on("one"), ADMIN));
    assert!(book.can(book.user("ada"), "docker pull :: Pull a container image.", one));
    book.done("profile.set", &bundled("ibm"));
    book.done("binding.removed", &bind(&user("ada"), "Reader", &on("one"), ADMIN));
    assert!(book.can(book.user("ada"), "docker pull :: Pull a container image.", one), "the roles are worked out anew");
}

#[test]
fn whoever_loses_a_right_between_asking_and_recording_is_refused_by_the_fold() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("binding.set", &bind(&user("bob"), "project_admin", &on("one"), ADMIN));
    let command = bind(&user("eve"), "guest", &on("one"), "user:hub/bob");
    let body = Body::parse("rollcall.binding.set.v1", &command.to_string()).unwrap();
    assert!(book.roster.check_command(&body, book.now).is_ok());
    book.done("binding.removed", &bind(&user("bob"), "project_admin", &on("one"), ADMIN));
    book.refused("binding.set", &command, "may not do this here");
    book.fact("hub", "person.removed", &json!({"person": "ada"}));
    book.refused("binding.set", &with(command, "author", "user:hub/ada"), "may not do this here");
}

#[test]
fn the_name_of_a_deleted_project_stays_taken_and_only_who_could_delete_it_makes_it_again() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("ada")));
    book.done("project.deleted", &json!({"project": "one"}));
    let one = book.project("one");
    assert!(!book.can(book.user("ada"), "pull", one));
    book.refused("project.created", &with(project("two", None), "name", "one"), "name taken");
    // Also its creator was one of its people only; so was whoever may make projects elsewhere.
    for name in ["ada", "bob"] {
        let again = with(project("one", Some(name)), "author", format!("user:hub/{name}"));
        book.refused("project.created", &again, "an administrator, or who could delete it");
    }
    book.done("project.created", &with(project("one", Some("ada")), "author", ADMIN));
    assert!(book.project("one") == one && book.can(book.user("ada"), "pull", one));
}

#[test]
fn whoever_runs_one_folder_makes_no_deleted_project_of_another_again() {
    let mut book = Installation::of("portus");
    for id in ["mine", "theirs"] {
        book.done("folder.upserted", &json!({"folder": id, "kind": "team"}));
    }
    book.done("binding.set", &bind(&user("eve"), "api:project_admin", &json!({"folder": "mine"}), ADMIN));
    for (id, folder) in [("one", "mine"), ("two", "theirs")] {
        book.done("project.created", &with(project(id, None), "folder", folder));
        book.done("project.deleted", &json!({"project": id}));
    }
    let again = |id: &str| with(with(project(id, None), "folder", "mine"), "author", "user:hub/eve");
    book.refused("project.created", &again("two"), "an administrator, or who could delete it");
    book.done("project.created", &again("one"));
}

#[test]
fn a_project_is_moved_by_those_who_may_also_give_roles_in_it() {
    let mut book = Installation::of("sregistry");
    book.done("project.created", &project("one", Some("ada")));
    book.done("folder.upserted", &json!({"folder": "reg", "kind": "registry"}));
    book.done("binding.set", &bind(&user("bob"), "collection_contributor", &on("one"), ADMIN));
    let moved = |who: &str| with(with(project("one", None), "folder", "reg"), "author", format!("user:hub/{who}"));
    book.refused("project.updated", &moved("bob"), "may not do this here (binding.set)");
    book.done("project.updated", &moved("ada"));
}

/// Everybody makes projects and groups, at the root.
fn with_teams_for_everybody() -> Value {
    let mut profile = bundled("sregistry");
    profile["baseline"][1]["level"] = json!("application");
    profile
}

#[test]
fn nobody_lets_people_into_a_group_that_holds_more_than_he_or_she_has() {
    let mut book = Installation::with(&with_teams_for_everybody());
    for id in ["staff", "crew", "club"] {
        book.done("group.upserted", &json!({"group": id}));
    }
    book.done("group.member.added", &json!({"group": "staff", "member": {"group": "local/crew"}}));
    let member = |group: &str, who: &str| json!({"group": group, "member": {"person": format!("hub/{who}")}, "author": "user:hub/eve"});
    book.done("group.member.added", &member("crew", "bob"));
    for role in ["superuser", "api:auditor"] {
        let staff = bind(&json!({"group": "local/staff"}), role, &json!("root"), ADMIN);
        book.done("binding.set", &staff);
        for group in ["staff", "crew"] {
            book.refused("group.member.added", &member(group, "eve"), "more than the giver has here");
        }
        book.refused("group.member.removed", &member("crew", "bob"), "more than the giver has here");
        book.refused("group.removed", &json!({"group": "staff", "author": "user:hub/eve"}), "more than the giver has");
        book.done("binding.removed", &staff);
    }
    book.done("group.member.added", &member("crew", "eve"));
    book.done("group.member.added", &member("club", "eve"));
}

#[test]
fn what_everybody_may_do_with_rollcall_is_for_people_and_services_need_a_role() {
    let mut book = Installation::with(&with_teams_for_everybody());
    book.done("service.created", &json!({"service": "robot"}));
    let robot = Principal::Service(book.roster.service_by_id("robot").unwrap());
    let may = |book: &Installation, who| book.roster.allows(who, "project.create", Place::Root, book.now);
    assert!(may(&book, book.user("ada")) && !may(&book, robot));
    let group = json!({"group": "crew", "author": "service:robot"});
    book.refused("group.upserted", &group, "may not do this here");
    book.done("binding.set", &bind(&json!({"service": "robot"}), "superuser", &json!("root"), ADMIN));
    assert!(may(&book, robot));
    book.done("group.upserted", &group);
}

#[test]
fn a_folder_that_is_not_empty_names_the_same_inner_one_after_a_snapshot() {
    let mut book = Installation::of("ibm");
    let region = |id: &str, name: &str| json!({"folder": id, "kind": "region", "name": name});
    for id in ["eu", "us"] {
        book.done("folder.upserted", &region(id, id));
    }
    let group = |id: &str, above: &str| json!({"folder": id, "kind": "resource_group", "parent": above});
    // The second came first, and to this one last.
    for (id, above) in [("b", "us"), ("a", "us"), ("a", "eu"), ("b", "eu")] {
        book.done("folder.upserted", &group(id, above));
    }
    book.refused("folder.removed", &json!({"folder": "eu"}), "folder a is in it");
    book.roster = Roster::from_snapshot(&book.roster.to_snapshot()).unwrap();
    book.refused("folder.removed", &json!({"folder": "eu"}), "folder a is in it");
}

#[test]
fn a_service_signs_in_until_it_is_removed_and_what_it_had_does_not_sign_in_when_it_is_made_again() {
    let mut book = Installation::of("harbor");
    book.done("service.created", &json!({"service": "robot"}));
    let secret =
        |id: &str, n: u8| json!({"secret": id, "owner": {"service": "robot"}, "sha256": format!("{n:02x}").repeat(32)});
    book.done("secret.issued", &secret("s1", 1));
    book.done("secret.issued", &secret("s2", 2));
    assert!(book.roster.credential(&[1; 32], book.now).is_some());
    book.done("secret.revoked", &json!({"secret": "s1"}));
    assert!(
        book.roster.credential(&[1; 32], book.now).is_none() && book.roster.credential(&[2; 32], book.now).is_some()
    );
    book.done("service.removed", &json!({"service": "robot"}));
    book.refused("secret.issued", &secret("s3", 3), "there is no service `robot`");
    assert!(book.roster.credential(&[2; 32], book.now).is_none());
    book.done("service.created", &json!({"service": "robot"}));
    assert!(book.roster.credential(&[2; 32], book.now).is_none(), "a secret of the service that was");
    book.refused("secret.issued", &with(secret("s4", 4), "author", "user:hub/bob"), "may not do this");
}

#[test]
fn the_groups_of_a_retired_source_give_nothing_also_through_a_group_kept_here() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", None));
    book.fact("corp", "group.upserted", &json!({"group": "g"}));
    book.fact("corp", "person.upserted", &json!({"person": "kim", "account": null, "active": true}));
    book.fact("corp", "group.member.added", &json!({"group": "g", "member": {"person": "kim"}}));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &json!({"group": "crew", "member": {"group": "corp/g"}}));
    book.done("group.member.added", &json!({"group": "crew", "member": {"person": "hub/bob"}}));
    book.done("binding.set", &bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN));
    let kim = Principal::User(book.roster.user_by_id("corp/kim").unwrap());
    let one = book.project("one");
    assert!(book.can(kim, "pull", one) && book.can(book.user("bob"), "pull", one));
    book.done("source.retired", &json!({"source": "corp"}));
    assert!(!book.can(kim, "pull", one) && book.can(book.user("bob"), "pull", one));
}

#[test]
fn what_is_closed_is_closed_to_the_registry_and_can_still_be_looked_at() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", None));
    book.done("binding.set", &bind(&user("eve"), "api:auditor", &json!("root"), ADMIN));
    book.done("binding.set", &bind(&user("eve"), "system_admin", &json!("root"), ADMIN));
    book.done("project.deleted", &json!({"project": "one"}));
    let one = book.project("one");
    assert!(!book.can(book.user("eve"), "pull", one));
    assert!(book.roster.allows(book.user("eve"), "member.list", one, book.now));
    let everything = book.roster.profile_of(ProfileKind::Api).everything();
    assert!(!book.roster.decide_by(ProfileKind::Api, book.user("eve"), everything, one, book.now).is_allowed());
}

#[test]
fn whoever_holds_a_role_may_leave_it_also_under_the_name_of_another_person_of_the_user() {
    let mut book = Installation::of("harbor");
    book.done("project.created", &project("one", Some("bob")));
    book.fact("corp", "person.upserted", &json!({"person": "a", "account": null, "active": true}));
    let link = json!({"persons": [{"source": "corp", "person": "a"}, {"source": "hub", "person": "ada"}]});
    book.done("identity.linked", &link);
    book.done("binding.set", &bind(&json!({"user": "corp/a"}), "guest", &on("one"), ADMIN));
    book.refused("binding.removed", &bind(&json!({"user": "corp/a"}), "guest", &on("one"), "user:hub/eve"), "may not");
    book.done("binding.removed", &bind(&json!({"user": "corp/a"}), "guest", &on("one"), "user:hub/ada"));
}
