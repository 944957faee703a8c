//! The tree that `why` prints: what was asked, what came out, each reason or near miss with its event, and what would
//! make it a yes. Pure: an explanation in, a text out.

use serde_json::Value;

use crate::cli::output::{Paint, escape_controls, field_text, group_digits};

/// The tree of an explanation, as the API gives it, for an image or a project.
pub fn tree(paint: Paint, explanation: &Value, asked: &str) -> String {
    let allowed = explanation.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    let verdict = if allowed { paint.good("YES") } else { paint.bad("NO ") };
    let position = explanation.get("position").and_then(Value::as_u64).unwrap_or_default();
    let mut head =
        format!("{verdict}  decided at position {}, {}", group_digits(position), to_seconds(explanation, "at"));
    let decision = field_text(explanation, "decision");
    if !decision.is_empty() {
        head.push_str(&format!("   {}", paint.dim(&decision)));
    }
    let mut out = head + "\n";
    out.push_str(&format!(
        "└─ {}  needs {}{}\n",
        paint.bold(&escape_controls(asked)),
        field_text(explanation, "needs"),
        roles_remark(explanation)
    ));

    let list = |key: &str| explanation.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let sufficient = list("roles");
    let mut branches: Vec<Branch> =
        list("reasons").iter().map(|reason| reason_branch(paint, reason, &sufficient)).collect();
    branches.extend(list("near_misses").iter().map(|miss| near_miss_branch(paint, miss)));
    branches.extend(list("ceilings").iter().map(|ceiling| Branch {
        head: format!("{} {}", paint.bad("✗"), field_text(ceiling, "text")),
        leaves: Vec::new(),
    }));
    if branches.is_empty() {
        branches.push(Branch {
            head: format!("{} nothing was ever recorded that gives a role here", paint.bad("✗")),
            leaves: Vec::new(),
        });
    }
    let last = branches.len() - 1;
    for (at, branch) in branches.iter().enumerate() {
        let (fork, below) = if at == last { ("└─", "  ") } else { ("├─", "│ ") };
        out.push_str(&format!("   {fork} {}\n", branch.head));
        for leaf in &branch.leaves {
            out.push_str(&format!("   {below}    {leaf}\n"));
        }
    }
    for (at, line) in list("would_allow").iter().enumerate() {
        let lead = if at == 0 { "Would become YES if: " } else { "                 or: " };
        out.push_str(&format!("{lead}{}\n", field_text(line, "text")));
    }
    out
}

struct Branch {
    head: String,
    leaves: Vec<String>,
}

fn roles_remark(explanation: &Value) -> String {
    let roles: Vec<String> = explanation
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|role| role.as_str().map(escape_controls))
        .collect();
    if roles.is_empty() { String::new() } else { format!(", as {} have it", roles.join(" or ")) }
}

/// A time, to the second.
fn to_seconds(value: &Value, key: &str) -> String {
    let text = field_text(value, key);
    match text.split_once('.') {
        Some((whole, _)) if text.ends_with('Z') => format!("{whole}Z"),
        _ => text,
    }
}

/// A reason that stands. A role that would not do by itself is marked: it is not what the answer rests on, or only in part.
fn reason_branch(paint: Paint, reason: &Value, sufficient: &[Value]) -> Branch {
    let role = reason.get("role").unwrap_or(&Value::Null);
    let enough = field_text(reason, "rule") == "baseline" || sufficient.contains(role);
    let (sign, remark) = if enough { (paint.good("✓"), "") } else { (paint.dim("·"), " (not enough by itself)") };
    let until = to_seconds(reason, "until");
    let until = if until.is_empty() { String::new() } else { format!(", until {until}") };
    let facts = reason.get("facts").and_then(Value::as_array).cloned().unwrap_or_default();
    let first = facts.first().map(|fact| format!("  {}", paint.dim(&cause_text(fact)))).unwrap_or_default();
    Branch {
        head: format!("{sign} {} by {}{until}{remark}{first}", field_text(reason, "role"), field_text(reason, "text")),
        leaves: Vec::new(),
    }
}

/// A way that does not stand, with what stands in it.
fn near_miss_branch(paint: Paint, miss: &Value) -> Branch {
    let obstacles = miss.get("obstacles").and_then(Value::as_array).cloned().unwrap_or_default();
    let leaves = obstacles.iter().map(|obstacle| {
        let cause = obstacle.get("cause").filter(|cause| !cause.is_null());
        let by = cause.map(|fact| format!("  {}", paint.dim(&cause_text(fact)))).unwrap_or_default();
        format!("{}{by}", field_text(obstacle, "text"))
    });
    Branch {
        head: format!("{} {} by {}", paint.bad("✗"), field_text(miss, "role"), field_text(miss, "text")),
        leaves: leaves.collect(),
    }
}

fn cause_text(fact: &Value) -> String {
    let position = fact.get("position").and_then(Value::as_u64).unwrap_or_default();
    format!("event {}, source {}", group_digits(position), field_text(fact, "source"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_no_names_what_ended_it_and_what_would_mend_it() {
        let explanation = json!({
            "allowed": false, "position": 2041, "at": "2026-03-04T09:12:07.647970639Z", "decision": "dec_01",
            "needs": ["image.pull"], "roles": ["Developer", "Guest"], "reasons": [],
            "near_misses": [{
                "rule": "customer", "role": "Guest", "name": "ENT-7/1", "text": "entitlement ENT-7 of globex to DB",
                "facts": [], "until": null,
                "obstacles": [{
                    "standing": "ended", "text": "entitlement ENT-7 is inactive", "remedy": "ENT-7 is active again",
                    "cause": {"position": 1988, "source": "flexnet", "subject": "entitlement/ENT-7"}, "at": null,
                }],
            }],
            "would_allow": [{"text": "ENT-7 is active again, for entitlement ENT-7 of globex to DB", "steps": []}],
        });
        assert_eq!(
            tree(Paint::Plain, &explanation, "acme/db"),
            "\
NO   decided at position 2 041, 2026-03-04T09:12:07Z   dec_01
└─ acme/db  needs image.pull, as Developer or Guest have it
   └─ ✗ Guest by entitlement ENT-7 of globex to DB
         entitlement ENT-7 is inactive  event 1 988, source flexnet
Would become YES if: ENT-7 is active again, for entitlement ENT-7 of globex to DB
"
        );
    }

    #[test]
    fn a_yes_names_every_reason() {
        let explanation = json!({
            "allowed": true, "position": 12, "at": "2026-03-04T09:12:07Z", "needs": ["image.pull"], "roles": ["Guest"],
            "reasons": [
                {"role": "Guest", "text": "entitlement ENT-7", "facts": [{"position": 8, "source": "flexnet"}], "until": "2026-05-01T00:00:00Z"},
                {"role": "Scanner", "text": "a direct binding", "facts": [], "until": null},
            ],
            "near_misses": [], "would_allow": [],
        });
        let text = tree(Paint::Plain, &explanation, "acme/db");
        assert!(text.starts_with("YES  decided at position 12"), "{text}");
        assert!(
            text.contains("├─ ✓ Guest by entitlement ENT-7, until 2026-05-01T00:00:00Z  event 8, source flexnet"),
            "{text}"
        );
        assert!(text.contains("└─ · Scanner by a direct binding (not enough by itself)\n"), "{text}");
    }
}
