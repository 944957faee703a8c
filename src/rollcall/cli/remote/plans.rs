//! `plan`, `plans`, `apply`, `discard`: what a source that is read would change, confirmed or put aside.

use serde_json::{Value, json};

use crate::{
    cli::{
        output::{OutputFormat, Paint, field_table, field_text, group_digits},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

/// `plan`: of a source, read now; or one that was made.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, format: OutputFormat, of: &str) -> Result<Exit, Failure> {
    let mut plan = match of.starts_with("pln_") {
        true => client.get(&api_path(&["plans", of]), &[]).await?,
        false => client.post(&api_path(&["sources", of, "plan"]), &json!({})).await?,
    };
    let id = field_text(&plan, "id");
    let rows = client.all_pages(&api_path(&["plans", &id, "rows"]), &[], usize::MAX).await?;
    let memberships_of = client.get(&api_path(&["plans", &id, "memberships"]), &[]).await?;
    let exit = if rows.is_empty() { Exit::Yes } else { Exit::No };
    if let Some(plan) = plan.as_object_mut() {
        plan.insert("rows".to_owned(), Value::Array(rows.clone()));
        plan.insert("memberships".to_owned(), memberships_of.get("items").cloned().unwrap_or_default());
    }
    format.print(&plan, |paint| plan_text(paint, &plan, &rows));
    Ok(exit)
}

fn plan_text(paint: Paint, plan: &Value, rows: &[Value]) -> String {
    if rows.is_empty() {
        return format!("no difference: the log says what {} says\n", field_text(plan, "source"));
    }
    let mut out = String::new();
    for row in rows {
        let (sign, text) = (field_text(row, "verb"), field_text(row, "text"));
        out.push_str(&match sign.as_str() {
            "add" => format!("{} {text}\n", paint.good("+")),
            "remove" => format!("{} {text}\n", paint.bad("-")),
            _ => format!("~ {text}\n"),
        });
    }
    let memberships = plan.get("memberships").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !memberships.is_empty() {
        out.push('\n');
    }
    for row in memberships {
        let (user, role, project) = (field_text(row, "user"), field_text(row, "role"), field_text(row, "project"));
        out.push_str(&match row.get("appears").and_then(Value::as_bool) {
            Some(true) => format!("{} {user} becomes {role} of {project}\n", paint.good("+")),
            _ => format!("{} {user} is no longer {role} of {project}\n", paint.bad("-")),
        });
    }
    let count = |key: &str| plan.get(key).and_then(Value::as_u64).unwrap_or_default();
    let state = match (field_text(plan, "state"), field_text(plan, "closed_by"), field_text(plan, "closed_at")) {
        (state, by, at) if !by.is_empty() => format!("{state} by {by} at {at}"),
        (state, ..) => state,
    };
    out.push_str(&format!(
        "\n{}  {}  {} added, {} changed, {} removed, of {} facts\n{}\n",
        paint.bold(&field_text(plan, "id")),
        state,
        group_digits(count("additions")),
        group_digits(count("changes")),
        group_digits(count("removals")),
        group_digits(count("facts")),
        field_text(plan, "reason"),
    ));
    if field_text(plan, "state") == "open" {
        out.push_str(&format!(
            "To apply it: rollcall apply {} --confirm-removals {}\n",
            field_text(plan, "id"),
            count("removals")
        ));
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
    let columns = [
        ("PLAN", "id"),
        ("SOURCE", "source"),
        ("MADE", "made_at"),
        ("STATE", "state"),
        ("WHY", "why"),
        ("ADDED", "additions"),
        ("CHANGED", "changes"),
        ("REMOVED", "removals"),
        ("CLOSED BY", "closed_by"),
    ];
    format.print(&Value::Array(rows.clone()), |paint| field_table(paint, &columns, &rows));
    Ok(Exit::Yes)
}

/// `apply`.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, format: OutputFormat, plan: &str, confirm_removals: u64) -> Result<Exit, Failure> {
    let body = json!({"confirm_removals": confirm_removals});
    let applied = client.post(&api_path(&["plans", plan, "apply"]), &body).await?;
    format.print(&applied, |_| {
        format!(
            "applied: {} added, {} changed, {} removed, position {}\n",
            field_text(&applied, "additions"),
            field_text(&applied, "changes"),
            field_text(&applied, "removals"),
            field_text(&applied, "position"),
        )
    });
    Ok(Exit::Yes)
}

/// `discard`.
///
/// # Errors
/// As [`Failure`].
pub async fn discard(client: &Client, format: OutputFormat, plan: &str) -> Result<Exit, Failure> {
    let plan = client.post(&api_path(&["plans", plan, "discard"]), &json!({})).await?;
    format.print(&plan, |_| {
        format!("{} is put aside; the next read of the source finds it again\n", field_text(&plan, "id"))
    });
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_row_for_row_with_the_command_that_applies_it() {
        let plan = json!({"id": "pln_1", "source": "corp", "state": "open", "reason": "2 of its 3 facts would end",
            "additions": 1, "changes": 0, "removals": 2, "facts": 3, "memberships": [
                {"user": "ada", "role": "Developer", "project": "acme", "appears": true},
                {"user": "eve", "role": "Developer", "project": "acme", "appears": false}]});
        let rows = [
            json!({"verb": "add", "text": "ada enters the group Platform"}),
            json!({"verb": "remove", "text": "eve leaves the group Platform"}),
        ];
        let text = plan_text(Paint::Plain, &plan, &rows);
        assert_eq!(
            text,
            "+ ada enters the group Platform\n- eve leaves the group Platform\n\n+ ada becomes Developer of acme\n- eve is no longer Developer of acme\n\npln_1  open  1 added, 0 changed, 2 removed, of 3 facts\n2 of its 3 facts would end\nTo apply it: rollcall apply pln_1 --confirm-removals 2\n"
        );
        assert!(plan_text(Paint::Plain, &plan, &[]).starts_with("no difference"));
    }

    #[test]
    fn a_plan_names_who_closed_it_and_nothing_in_it_steers_the_terminal() {
        let plan = json!({"id": "pln_1", "source": "corp", "state": "discarded", "closed_by": "user:corp/kim",
            "closed_at": "2026-11-22T07:00:00Z", "reason": "the group \u{1b}[31mops\u{202e} would be emptied",
            "additions": 0, "changes": 0, "removals": 1, "facts": 3, "memberships": []});
        let rows = [json!({"verb": "remove", "text": "e\u{1b}]0;x\u{7}ve\nleaves the group \u{202e}spo"})];
        let text = plan_text(Paint::Plain, &plan, &rows);
        assert!(text.contains("discarded by user:corp/kim at 2026-11-22T07:00:00Z"), "{text}");
        let odd = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(odd) && text.lines().count() == 4, "{text:?}");
    }
}
