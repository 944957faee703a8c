//! `plan`, `plans`, `apply`, `discard`: what a source that is read would change, confirmed or put aside.

use rollcall_app::operations::plans::{
    Confirmation, PlanApplied, PlanRow, PlanShown, PlannedMembership, PlannedMemberships, PlannedUser,
};
use serde_json::json;

use crate::{
    cli::{
        output::{ColorMode, Column, OutputFormat, cell, group_digits},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure, Reply},
};

/// `plan`: of a source, read now; or one that was made.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, format: OutputFormat, of: &str) -> Result<Exit, Failure> {
    let mut plan: Reply<PlanShown> = match of.starts_with("pln_") {
        true => client.get(&api_path(&["plans", of]), &[]).await?,
        false => client.post(&api_path(&["sources", of, "plan"]), &json!({})).await?,
    };
    let id = plan.value.id.clone();
    let rows: Reply<Vec<PlanRow>> = client.all_pages(&api_path(&["plans", &id, "rows"]), &[], usize::MAX).await?;
    let memberships: Reply<PlannedMemberships> = client.get(&api_path(&["plans", &id, "memberships"]), &[]).await?;
    if let Some(plan) = plan.json.as_object_mut() {
        plan.insert("rows".to_owned(), rows.json);
        plan.insert("memberships".to_owned(), memberships.json.get("items").cloned().unwrap_or_default());
        plan.insert("users".to_owned(), memberships.json.get("users").cloned().unwrap_or_default());
    }
    format.print(&plan.json, |paint| plan_text(paint, &plan.value, &rows.value, &memberships.value));
    Ok(if rows.value.is_empty() { Exit::Yes } else { Exit::No })
}

fn plan_text(paint: ColorMode, plan: &PlanShown, rows: &[PlanRow], follows: &PlannedMemberships) -> String {
    if rows.is_empty() {
        return format!("no difference: the log says what {} says\n", cell(&plan.source));
    }
    let mut out = String::new();
    for row in rows {
        let text = cell(&row.text);
        out.push_str(&match &*row.verb {
            "add" => format!("{} {text}\n", paint.good("+")),
            "remove" => format!("{} {text}\n", paint.bad("-")),
            _ => format!("~ {text}\n"),
        });
    }
    if !follows.items.is_empty() {
        out.push('\n');
    }
    for PlannedMembership { user, project, role, appears } in &follows.items {
        let (user, role, project) = (cell(user), cell(role), cell(project));
        out.push_str(&match appears {
            true => format!("{} {user} becomes {role} of {project}\n", paint.good("+")),
            false => format!("{} {user} is no longer {role} of {project}\n", paint.bad("-")),
        });
    }
    if !follows.users.is_empty() {
        out.push('\n');
    }
    for PlannedUser { effect, text, .. } in &follows.users {
        let mark = match &**effect {
            "parted" | "shut_out" => paint.bad("-"),
            "linked" | "signs_in" => paint.good("+"),
            _ => "!".to_owned(),
        };
        out.push_str(&format!("{mark} {}\n", cell(text)));
    }
    let left = follows.users_total.saturating_sub(follows.users.len());
    if left > 0 {
        out.push_str(&format!("and {} more users\n", group_digits(left as u64)));
    }
    let state = match &plan.closed_by {
        Some(by) => format!("{} by {} at {}", cell(&plan.state), cell(by), cell(&plan.closed_at)),
        None => cell(&plan.state),
    };
    out.push_str(&format!(
        "\n{}  {}  {} added, {} changed, {} removed, of {} facts\n{}\n",
        paint.bold(&cell(&plan.id)),
        state,
        group_digits(plan.additions),
        group_digits(plan.changes),
        group_digits(plan.removals),
        group_digits(plan.facts),
        cell(&plan.reason),
    ));
    if plan.state == "open" {
        let confirm = if plan.removals == 0 { String::new() } else { format!(" --confirm-removals {}", plan.removals) };
        out.push_str(&format!("To apply it: rollcall apply {}{confirm}\n", cell(&plan.id)));
    }
    out
}

/// `plans`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat, source: Option<&str>) -> Result<Exit, Failure> {
    const MAX_LISTED: usize = 50;
    let query: Vec<(&str, String)> = source.map(|source| ("source", source.to_owned())).into_iter().collect();
    let rows = client.all_pages(&api_path(&["plans"]), &query, MAX_LISTED).await?;
    let columns: [Column<PlanShown>; 9] = [
        ("PLAN", |row| cell(&row.id)),
        ("SOURCE", |row| cell(&row.source)),
        ("MADE", |row| cell(&row.made_at)),
        ("STATE", |row| cell(&row.state)),
        ("WHY", |row| cell(&row.why)),
        ("ADDED", |row| cell(&row.additions)),
        ("CHANGED", |row| cell(&row.changes)),
        ("REMOVED", |row| cell(&row.removals)),
        ("CLOSED BY", |row| cell(&row.closed_by)),
    ];
    print_list(format, &columns, &rows);
    Ok(Exit::Yes)
}

/// `apply`.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, format: OutputFormat, plan: &str, confirm_removals: u64) -> Result<Exit, Failure> {
    let body = Confirmation { confirm_removals };
    let applied = client.post::<PlanApplied>(&api_path(&["plans", plan, "apply"]), &body).await?;
    let PlanApplied { additions, changes, removals, position, .. } = &applied.value;
    format.print(&applied.json, |_| {
        format!("applied: {additions} added, {changes} changed, {removals} removed, position {position}\n")
    });
    Ok(Exit::Yes)
}

/// `discard`.
///
/// # Errors
/// As [`Failure`].
pub async fn discard(client: &Client, format: OutputFormat, plan: &str) -> Result<Exit, Failure> {
    let plan = client.post::<PlanShown>(&api_path(&["plans", plan, "discard"]), &json!({})).await?;
    let text = format!("{} is put aside; the next read of the source finds it again\n", cell(&plan.value.id));
    format.print(&plan.json, |_| text);
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What this says of a plan that says nothing else.
    fn plan_of(said: Value) -> PlanShown {
        let mut plan = json!({"id": "pln_1", "source": "corp", "made_at": "2026-11-22T06:00:00Z", "position": 9,
            "why": "guard", "reason": "", "state": "open", "closed_by": null, "closed_at": null, "facts": 0,
            "additions": 0, "changes": 0, "removals": 0});
        let members = plan.as_object_mut().unwrap();
        members.extend(
            said.as_object()
                .unwrap()
                .clone()
                .into_iter()
                .filter(|(name, _)| !["memberships", "users"].contains(&name.as_str())),
        );
        serde_json::from_value(plan).unwrap()
    }

    fn memberships_of(said: &Value) -> PlannedMemberships {
        let users = said.get("users").cloned().unwrap_or(json!([]));
        serde_json::from_value(json!({"total": 0, "items": said["memberships"], "users": users})).unwrap()
    }

    fn row(verb: &str, text: &str) -> PlanRow {
        let row = json!({"row": 1, "verb": verb, "text": text, "type": "rollcall.group.member.added.v1", "subject": "x",
            "data": null, "was": null});
        serde_json::from_str(&row.to_string()).unwrap()
    }

    #[test]
    fn a_plan_is_shown_row_for_row_with_the_command_that_applies_it() {
        let plan = json!({"id": "pln_1", "source": "corp", "state": "open", "reason": "2 of its 3 facts would end",
            "additions": 1, "changes": 0, "removals": 2, "facts": 3, "memberships": [
                {"user": "ada", "role": "Developer", "project": "acme", "appears": true},
                {"user": "eve", "role": "Developer", "project": "acme", "appears": false}]});
        let rows = [row("add", "ada enters the group Platform"), row("remove", "eve leaves the group Platform")];
        let text = plan_text(ColorMode::Plain, &plan_of(plan.clone()), &rows, &memberships_of(&plan));
        assert_eq!(
            text,
            "+ ada enters the group Platform\n- eve leaves the group Platform\n\n+ ada becomes Developer of acme\n- eve is no longer Developer of acme\n\npln_1  open  1 added, 0 changed, 2 removed, of 3 facts\n2 of its 3 facts would end\nTo apply it: rollcall apply pln_1 --confirm-removals 2\n"
        );
        assert!(
            plan_text(ColorMode::Plain, &plan_of(plan.clone()), &[], &memberships_of(&plan))
                .starts_with("no difference")
        );
    }

    #[test]
    fn a_plan_says_what_becomes_of_users_and_without_removals_nothing_is_counted_to_apply_it() {
        let plan = json!({"id": "pln_1", "source": "lab", "state": "open", "reason": "it is the first read", "additions": 2,
            "changes": 0, "removals": 0, "facts": 0, "memberships": [], "users": [
                {"person": "lab/7", "effect": "name_taken", "text": "lab/7 would be called bob~lab"},
                {"person": "lab/8", "effect": "parted", "text": "bob and bob.nw are parted"}]});
        let rows = [row("add", "the person bob appears")];
        let text = plan_text(ColorMode::Plain, &plan_of(plan.clone()), &rows, &memberships_of(&plan));
        assert_eq!(
            text,
            "+ the person bob appears\n\n! lab/7 would be called bob~lab\n- bob and bob.nw are parted\n\npln_1  open  2 added, 0 changed, 0 removed, of 0 facts\nit is the first read\nTo apply it: rollcall apply pln_1\n"
        );
    }

    #[test]
    fn a_plan_names_who_closed_it_and_nothing_in_it_steers_the_terminal() {
        let plan = json!({"id": "pln_1", "source": "corp", "state": "discarded", "closed_by": "user:corp/kim",
            "closed_at": "2026-11-22T07:00:00Z", "reason": "the group \u{1b}[31mops\u{202e} would be emptied",
            "additions": 0, "changes": 0, "removals": 1, "facts": 3, "memberships": []});
        let rows = [row("remove", "e\u{1b}]0;x\u{7}ve\nleaves the group \u{202e}spo")];
        let text = plan_text(ColorMode::Plain, &plan_of(plan.clone()), &rows, &memberships_of(&plan));
        assert!(text.contains("discarded by user:corp/kim at 2026-11-22T07:00:00Z"), "{text}");
        let odd = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(odd) && text.lines().count() == 4, "{text:?}");
    }
}
