//! `who` and `diff`: who is in a project now or then, and what is different at two moments, as the API says it.

use serde_json::Value;

use crate::{
    cli::{
        output::{OutputFormat, Paint, field_table, field_text, group_digits, print, table},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

fn as_of_query(moment: Option<&str>) -> Vec<(&'static str, String)> {
    moment.map(|moment| ("as_of", moment.to_owned())).into_iter().collect()
}

/// `who`.
///
/// # Errors
/// As [`Failure`].
pub async fn who(
    client: &Client,
    format: OutputFormat,
    project: &str,
    moment: Option<&str>,
    csv: bool,
) -> Result<Exit, Failure> {
    let mut query = as_of_query(moment);
    if csv {
        query.extend([("project", project.to_owned()), ("format", "csv".to_owned())]);
        print(&client.text(&api_path(&["reports", "who"]), &query).await?);
        return Ok(Exit::Yes);
    }
    let rows = client.all_pages(&api_path(&["projects", project, "members"]), &query, usize::MAX).await?;
    format.print(&Value::Array(rows.clone()), |paint| {
        let reason = |member: &Value| -> Vec<String> {
            let reasons = member.get("reasons").and_then(Value::as_array).cloned().unwrap_or_default();
            let rest = if reasons.len() > 1 { format!(" and {} more", reasons.len() - 1) } else { String::new() };
            let first = reasons.first().map(|reason| field_text(reason, "text")).unwrap_or_default();
            vec![field_text(member, "user"), field_text(member, "role"), first + &rest]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(reason).collect();
        table(paint, &["USER", "ROLE", "BECAUSE OF"], &rows)
    });
    Ok(Exit::Yes)
}

/// `diff`. `of` is a project, or with `user` a user.
///
/// # Errors
/// As [`Failure`].
pub async fn diff(
    client: &Client,
    format: OutputFormat,
    of: &str,
    user: bool,
    from: &str,
    to: Option<&str>,
) -> Result<Exit, Failure> {
    let mut query = vec![(if user { "user" } else { "project" }, of.to_owned()), ("from", from.to_owned())];
    query.extend(to.map(|to| ("to", to.to_owned())));
    let answer = client.get(&api_path(&["reports", "diff"]), &query).await?;
    format.print(&answer, |paint| diff_text(paint, &answer));
    let same = answer.get("same").and_then(Value::as_bool).unwrap_or_default();
    Ok(if same { Exit::Yes } else { Exit::No })
}

fn diff_text(paint: Paint, answer: &Value) -> String {
    let moment = |key: &str| {
        let position = answer.pointer(&format!("/{key}/position")).and_then(Value::as_u64).unwrap_or_default();
        format!("position {} ({})", group_digits(position), field_text(answer, &format!("{key}.at")))
    };
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (roles, actions) = (list("memberships"), list("actions"));
    let count = |appeared| roles.iter().filter(|row| row.get("appeared") == Some(&Value::Bool(appeared))).count();
    let mut out = format!(
        "{} roles appeared, {} disappeared, {} actions differ, from {} to {}\n",
        count(true),
        count(false),
        actions.len(),
        moment("from"),
        moment("to")
    );
    let row = |change: &Value| {
        let appeared = change.get("appeared") == Some(&Value::Bool(true));
        let list = |key: &str| change.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let events = list("because").into_iter().map(|cause| {
            let position = cause.get("position").and_then(Value::as_u64).unwrap_or_default();
            format!("event {} {}", group_digits(position), field_text(&cause, "subject"))
        });
        let times = list("times").into_iter().filter_map(|time| time.as_str().map(crate::cli::output::escape_controls));
        let why: Vec<String> = events.chain(times).collect();
        serde_json::json!({
            "sign": if appeared { "+" } else { "-" },
            "name": change.get("name"), "what": change.get("what"), "project": change.get("project"),
            "why": why.join(", "),
        })
    };
    let columns = [("", "sign"), ("USER", "name"), ("PROJECT", "project"), ("ROLE", "what"), ("BECAUSE OF", "why")];
    if !roles.is_empty() {
        out.push_str(&field_table(paint, &columns, &roles.iter().map(row).collect::<Vec<_>>()));
    }
    // Actions follow from roles, except where visibility or a switch did it.
    let alone: Vec<Value> = actions
        .iter()
        .filter(|action| {
            !roles
                .iter()
                .any(|role| role.get("user") == action.get("user") && role.get("project") == action.get("project"))
        })
        .map(row)
        .collect();
    if !alone.is_empty() {
        let columns =
            [("", "sign"), ("USER", "name"), ("PROJECT", "project"), ("ACTION", "what"), ("BECAUSE OF", "why")];
        out.push_str(&field_table(paint, &columns, &alone));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_shows_what_did_it() {
        let change = |what: &str| {
            json!({
                "project": "acme", "name": "ada", "user": "flexnet/ada", "what": what, "appeared": false, "times": [],
                "because": [{"position": 1988, "source": "flexnet", "subject": "entitlement/ENT-7"}],
            })
        };
        let answer = json!({
            "from": {"position": 12, "at": "2026-03-01T23:59:59Z"}, "to": {"position": 2041, "at": "2026-04-01T00:00:00Z"},
            "same": false, "memberships": [change("Guest")], "actions": [change("image.pull")],
        });
        assert_eq!(
            diff_text(Paint::Plain, &answer),
            "0 roles appeared, 1 disappeared, 1 actions differ, from position 12 (2026-03-01T23:59:59Z) to position 2 041 \
             (2026-04-01T00:00:00Z)\n   USER  PROJECT  ROLE   BECAUSE OF\n-  ada   acme     Guest  event 1 988 entitlement/ENT-7\n"
        );
    }
}
