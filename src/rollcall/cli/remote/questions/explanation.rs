//! The tree that `why` prints: what was asked, what came out, each reason or near miss with its event, and what would
//! make it a yes. Pure: an explanation in, a text out.

use chrono::{DateTime, Utc};
use rollcall_access::{Cause, NearMiss, Reason, Rule};
use rollcall_app::access::explain::Explained;
use rollcall_events::time::for_people;

use crate::cli::output::{ColorMode, cell, escape_controls, group_digits};

/// What was asked about, in the words of `why`.
pub fn asked(explained: &Explained) -> String {
    match (&explained.project, &explained.folder) {
        (Some(project), _) => match explained.repository.as_deref() {
            Some(rest) if !rest.is_empty() => format!("{project}/{rest}"),
            _ => project.clone(),
        },
        (None, Some(folder)) => format!("folder:{folder}"),
        (None, None) => "root".to_owned(),
    }
}

/// The tree of an explanation for an image or a project.
pub fn tree(paint: ColorMode, explained: &Explained, asked: &str) -> String {
    let explanation = &explained.explanation;
    let verdict = if explanation.allowed { paint.good("YES") } else { paint.bad("NO ") };
    let (position, at) = (group_digits(explanation.position.0), to_seconds(Some(explanation.at)));
    let mut out = format!("{verdict}  decided at position {position}, {at}");
    if let Some(decision) = &explained.decision {
        out.push_str(&format!("   {}", paint.dim(&cell(decision))));
    }
    if let Some(mended) = explained.clock_mended {
        let mended = group_digits(mended.0);
        out.push_str(&format!(
            "\n   the clock then lied: it was mended at position {mended}, and this is the latest it can have been"
        ));
    }
    let (asked, needs) = (paint.bold(&escape_controls(asked)), cell(&explanation.needs));
    out.push_str(&format!("\n└─ {asked}  needs {needs}{}\n", roles_remark(&explanation.roles)));

    let mut branches: Vec<Branch> =
        explanation.reasons.iter().map(|reason| reason_branch(paint, reason, &explanation.roles)).collect();
    branches.extend(explanation.near_misses.iter().map(|miss| near_miss_branch(paint, miss)));
    branches.extend(explanation.ceilings.iter().map(|ceiling| Branch {
        head: format!("{} {}{}", paint.bad("✗"), cell(&ceiling.text), by(paint, ceiling.cause.as_ref())),
        leaves: Vec::new(),
    }));
    branches.extend(
        explanation
            .reach
            .iter()
            .map(|reach| Branch { head: format!("{} {}", paint.bad("✗"), cell(reach)), leaves: Vec::new() }),
    );
    if branches.is_empty() {
        branches.push(Branch {
            head: format!("{} nothing was ever recorded that gives a role here", paint.bad("✗")),
            leaves: Vec::new(),
        });
    }
    if let (Some(user), [_, ..]) = (&explained.user, explained.looks_like.as_slice()) {
        let others: Vec<String> =
            explained.looks_like.iter().map(|name| format!("`{}`", escape_controls(name))).collect();
        out.push_str(&format!(
            "   `{}` looks like {}, which is another user\n",
            escape_controls(user),
            others.join(" and ")
        ));
    }
    if let (Some(user), [_, ..]) = (&explained.user, explained.name_asked_by.as_slice()) {
        let others: Vec<String> =
            explained.name_asked_by.iter().map(|name| format!("`{}`", escape_controls(name))).collect();
        out.push_str(&format!(
            "   the name `{}` is asked for by another user too, who is called {}: `rollcall problems --kind user_name`\n",
            escape_controls(user),
            others.join(" and ")
        ));
    }
    let last = branches.len() - 1;
    for (at, branch) in branches.iter().enumerate() {
        let (fork, below) = if at == last { ("└─", "  ") } else { ("├─", "│ ") };
        out.push_str(&format!("   {fork} {}\n", branch.head));
        for leaf in &branch.leaves {
            out.push_str(&format!("   {below}    {leaf}\n"));
        }
    }
    for (at, remedy) in explanation.would_allow.iter().enumerate() {
        let lead = if at == 0 { "Would become YES if: " } else { "                 or: " };
        out.push_str(&format!("{lead}{}\n", cell(&remedy.text)));
    }
    let rules: Vec<String> = explanation
        .rules
        .iter()
        .map(|rule| format!("{} of event {}", cell(&rule.subject), group_digits(rule.position.0)))
        .collect();
    if !rules.is_empty() {
        out.push_str(&format!("{}\n", paint.dim(&format!("by the {}", rules.join(" and the ")))));
    }
    out
}

struct Branch {
    head: String,
    leaves: Vec<String>,
}

fn roles_remark(roles: &[String]) -> String {
    let roles: Vec<String> = roles.iter().map(|role| escape_controls(role)).collect();
    if roles.is_empty() { String::new() } else { format!(", as {} have it", roles.join(" or ")) }
}

/// A time, to the second.
fn to_seconds(time: Option<DateTime<Utc>>) -> String {
    time.map(for_people).unwrap_or_default()
}

/// A reason that stands. A role that would not do by itself is marked: it is not what the answer rests on, or only in part.
fn reason_branch(paint: ColorMode, reason: &Reason, sufficient: &[String]) -> Branch {
    let enough = reason.rule == Rule::Baseline || sufficient.contains(&reason.role);
    let (sign, remark) = if enough { (paint.good("✓"), "") } else { (paint.dim("·"), " (not enough by itself)") };
    let until = to_seconds(reason.until);
    let until = if until.is_empty() { String::new() } else { format!(", until {until}") };
    let first = reason.facts.first().map(|fact| format!("  {}", paint.dim(&cause_text(fact)))).unwrap_or_default();
    Branch {
        head: format!("{sign} {} by {}{until}{remark}{first}", cell(&reason.role), cell(&reason.text)),
        leaves: Vec::new(),
    }
}

/// A way that does not stand, with what stands in it.
fn near_miss_branch(paint: ColorMode, miss: &NearMiss) -> Branch {
    let leaves =
        miss.obstacles.iter().map(|obstacle| format!("{}{}", cell(&obstacle.text), by(paint, obstacle.cause.as_ref())));
    Branch {
        head: format!("{} {} by {}", paint.bad("✗"), cell(&miss.reason.role), cell(&miss.reason.text)),
        leaves: leaves.collect(),
    }
}

/// The event that did it.
fn by(paint: ColorMode, cause: Option<&Cause>) -> String {
    cause.map(|fact| format!("  {}", paint.dim(&cause_text(fact)))).unwrap_or_default()
}

fn cause_text(fact: &Cause) -> String {
    format!("event {}, source {}", group_digits(fact.position.0), cell(&fact.source))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn explained(explanation: Value) -> Explained {
        serde_json::from_value(explanation).unwrap()
    }

    #[test]
    fn a_no_names_what_ended_it_and_what_would_mend_it() {
        let explanation = json!({
            "user": "ada", "action": "pull", "project": "acme", "ceilings": [], "until": null,
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
            tree(ColorMode::Plain, &explained(explanation), "acme/db"),
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
            "user": "ada", "action": "pull", "project": "acme", "ceilings": [], "until": null,
            "allowed": true, "position": 12, "at": "2026-03-04T09:12:07Z", "needs": ["image.pull"], "roles": ["Guest"],
            "reasons": [
                {"rule": "customer", "name": "ENT-7/1", "role": "Guest", "text": "entitlement ENT-7", "facts": [{"position": 8, "source": "flexnet", "subject": "entitlement/ENT-7"}], "until": "2026-05-01T00:00:00Z"},
                {"rule": "binding", "name": "bnd_1", "role": "Scanner", "text": "a direct binding", "facts": [], "until": null},
            ],
            "near_misses": [], "would_allow": [],
        });
        let text = tree(ColorMode::Plain, &explained(explanation), "acme/db");
        assert!(text.starts_with("YES  decided at position 12"), "{text}");
        assert!(
            text.contains("├─ ✓ Guest by entitlement ENT-7, until 2026-05-01T00:00:00Z  event 8, source flexnet"),
            "{text}"
        );
        assert!(text.contains("└─ · Scanner by a direct binding (not enough by itself)\n"), "{text}");
    }
}
