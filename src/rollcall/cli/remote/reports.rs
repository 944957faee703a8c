//! `who` and `diff`: who is in a project now or then, and what is different at two moments, as the API says it.

use rollcall_access::{AccessChange, Reason};
use rollcall_app::access::{
    decisions::DecisionInFull,
    projects::Member,
    reports::{Differences, MomentShown},
};
use rollcall_app::words::pasted::{Image, Pasted};
use rollcall_events::Position;

use crate::{
    cli::{
        output::{ColorMode, Column, OutputFormat, cell, escape_controls, group_digits, print, table},
        remote::{
            groups,
            questions::{image, why},
            request::{api_path, print_list},
        },
    },
    client::{Client, Exit, Failure},
};

fn as_of_query(moment: Option<&str>) -> Vec<(&'static str, String)> {
    moment.map(|moment| ("as_of", moment.to_owned())).into_iter().collect()
}

/// The project that is meant by a name, an image, a decision, or what a client said.
async fn project_of(client: &Client, format: OutputFormat, asked: &str) -> Result<String, Failure> {
    let read = Pasted::read(asked);
    // What is no image may be an id, or a name that clients would not take.
    let plain = Image::read(asked).is_none_or(|image| image.name == asked && !asked.contains('/'));
    if plain && !asked.contains(char::is_whitespace) && read.decision.is_none() && read.delivery.is_none() {
        return Ok(asked.to_owned());
    }
    if let Some(id) = &read.delivery {
        return Err(Failure::Usage(format!(
            "a delivery is about no one project: rollcall why {id} says what became of it"
        )));
    }
    let image = match (&read.decision, read.image) {
        (Some(id), image) => {
            let found = client.get::<DecisionInFull>(&api_path(&["decisions", id]), &[]).await;
            let of_decision = found.map(|found| Pasted::read(&found.value.decision.asked).image);
            match (of_decision, image) {
                (Ok(Some(image)), _) | (Err(Failure::Refused(_)), Some(image)) => image,
                (Ok(None), _) => return Err(Failure::Refused(format!("decision {id} is about no project"))),
                (Err(failure), _) => return Err(failure),
            }
        }
        (None, Some(image)) => image,
        (None, None) => {
            return Err(Failure::Usage(
                "nothing in that names a project or an image: write rollcall who PROJECT".to_owned(),
            ));
        }
    };
    let read = image::without_registry(client, &image).await;
    let (project, _) = image::split(&read.name);
    why::print_read_as(format, &format!("read as: who is in {project}?"));
    read.notes.iter().for_each(|note| why::print_read_as(format, note));
    Ok(project.to_owned())
}

/// `who`.
///
/// # Errors
/// As [`Failure`].
pub async fn who(
    client: &Client,
    format: OutputFormat,
    asked: &str,
    moment: Option<&str>,
    csv: bool,
) -> Result<Exit, Failure> {
    if let Some(group) = asked.strip_prefix("group:") {
        if moment.is_some() || csv {
            return Err(Failure::Usage("who is in a group is told of now, as a table or as JSON".to_owned()));
        }
        groups::print_members(client, format, group, true).await?;
        return Ok(Exit::Yes);
    }
    let project = &project_of(client, format, asked).await?;
    let mut query = as_of_query(moment);
    if csv {
        query.extend([("project", project.to_owned()), ("format", "csv".to_owned())]);
        print(&client.text(&api_path(&["reports", "who"]), &query).await?);
        return Ok(Exit::Yes);
    }
    let rows = client.all_pages::<Member>(&api_path(&["projects", project, "members"]), &query, usize::MAX).await?;
    let columns: [Column<Member>; 3] = [
        ("USER", |row| cell(&row.user)),
        ("ROLE", |row| cell(&row.role)),
        ("BECAUSE OF", |row| reasons_text(&row.reasons)),
    ];
    print_list(format, &columns, &rows);
    Ok(Exit::Yes)
}

/// The first reason, and how many more there are.
pub fn reasons_text(reasons: &[Reason]) -> String {
    let first = reasons.first().map(|reason| cell(&reason.text)).unwrap_or_default();
    let rest = if reasons.len() > 1 { format!(" and {} more", reasons.len() - 1) } else { String::new() };
    first + &rest
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
    let answer = client.get::<Differences>(&api_path(&["reports", "diff"]), &query).await?;
    format.print(&answer.json, |paint| diff_text(paint, &answer.value));
    Ok(if answer.value.same { Exit::Yes } else { Exit::No })
}

fn diff_text(paint: ColorMode, differences: &Differences) -> String {
    let Differences { from, to, memberships, actions, causes, .. } = differences;
    let by = |position: Position| {
        let cause = causes.iter().find(|cause| cause.position == position);
        cause.map(|cause| format!(" by {}", escape_controls(&cause.caused_by.text()))).unwrap_or_default()
    };
    let moment = |moment: &MomentShown| format!("position {} ({})", group_digits(moment.position.0), cell(&moment.at));
    let appeared = memberships.iter().filter(|change| change.appeared).count();
    let mut out = format!(
        "{appeared} roles appeared, {} disappeared, {} actions differ, from {} to {}\n",
        memberships.len() - appeared,
        actions.len(),
        moment(from),
        moment(to)
    );
    let row = |change: &AccessChange| {
        let events = change.because.iter();
        let events = events.map(|cause| {
            format!("event {} {}{}", group_digits(cause.position.0), cell(&cause.subject), by(cause.position))
        });
        let why: Vec<String> = events.chain(change.times.iter().map(cell)).collect();
        let sign = if change.appeared { "+" } else { "-" };
        vec![sign.to_owned(), cell(&change.name), cell(&change.project), cell(&change.what), why.join(", ")]
    };
    let mut print = |what: &str, changes: Vec<&AccessChange>| {
        if !changes.is_empty() {
            let rows: Vec<Vec<String>> = changes.into_iter().map(row).collect();
            out.push_str(&table(paint, &["", "USER", "PROJECT", what, "BECAUSE OF"], &rows));
        }
    };
    print("ROLE", memberships.iter().collect());
    // Actions follow from roles, except where visibility or a switch did it.
    let of_a_role = |action: &AccessChange| {
        memberships.iter().any(|role| role.user == action.user && role.project == action.project)
    };
    print("ACTION", actions.iter().filter(|action| !of_a_role(action)).collect());
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
            "from": {"position": 12, "at": "2026-03-01T23:59:59Z", "hash": "x"}, "to": {"position": 2041, "at": "2026-04-01T00:00:00Z", "hash": "y"},
            "same": false, "memberships": [change("Guest")], "actions": [change("image.pull")],
            "causes": [{"position": 1988, "caused_by": {"kind": "source", "by": "flexnet"}}],
        });
        assert_eq!(
            diff_text(ColorMode::Plain, &serde_json::from_value(answer).unwrap()),
            "0 roles appeared, 1 disappeared, 1 actions differ, from position 12 (2026-03-01T23:59:59Z) to position 2 041 \
             (2026-04-01T00:00:00Z)\n   USER  PROJECT  ROLE   BECAUSE OF\n-  ada   acme     Guest  event 1 988 entitlement/ENT-7 by source flexnet\n"
        );
    }
}
