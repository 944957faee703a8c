//! `users link`, `unlink`, `links`, `rename` and `free`: which persons are one user, and what users are called. What a link
//! would change is shown before it is made.

use std::io::IsTerminal as _;

use rollcall_access::LinkNoteKind;
use rollcall_app::{
    CommandOutcome,
    access::identity::{
        LinkChange, LinkPlanShown, LinkPlanned, LinkRequest, LinkShown, LinksApplied, NewUserName, PersonChangeShown,
    },
};

use crate::{
    cli::{
        args::{LinkArgs, UnlinkArgs},
        output::{ColorMode, Column, OutputFormat, cell, escape_controls, print, table_of},
        remote::{configuration::says_yes, preview::scope_text, request::api_path},
    },
    client::{Client, Exit, Failure},
};

/// How many rows are printed for people.
const MAX_PRINTED: usize = 200;

/// `users links`.
///
/// # Errors
/// As [`Failure`].
pub async fn links(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.all_pages::<LinkShown>(&api_path(&["links"]), &[], usize::MAX).await?;
    let columns: [Column<LinkShown>; 4] = [
        ("USER", |row| cell(&row.name)),
        ("PERSON", |row| cell(&row.persons[0])),
        ("AND", |row| cell(&row.persons[1])),
        ("EVENT", |row| cell(&row.position)),
    ];
    format.print(&rows.json, |paint| table_of(paint, &columns, &rows.value));
    Ok(Exit::Yes)
}

/// `users link`.
///
/// # Errors
/// As [`Failure`].
pub async fn link(client: &Client, format: OutputFormat, args: &LinkArgs) -> Result<Exit, Failure> {
    let LinkArgs { one, other, rule, source, with, except, overlapping, confirm } = args;
    let request = LinkRequest {
        change: LinkChange::Link,
        persons: one.clone().zip(other.clone()).map(Into::into),
        rule: rule.map(|rule| rule.as_str().to_owned()),
        source: source.clone(),
        with: with.clone(),
        except: except.clone(),
        overlapping: *overlapping,
        given_since: None,
        confirm: confirm.clone(),
    };
    change(client, format, request).await
}

/// `users unlink`.
///
/// # Errors
/// As [`Failure`].
pub async fn unlink(client: &Client, format: OutputFormat, args: &UnlinkArgs) -> Result<Exit, Failure> {
    let UnlinkArgs { one, other, given_since, confirm } = args.clone();
    let request = LinkRequest {
        change: LinkChange::Unlink,
        persons: Some([one, other]),
        rule: None,
        source: None,
        with: None,
        except: Vec::new(),
        overlapping: false,
        given_since,
        confirm,
    };
    change(client, format, request).await
}

/// What is done is what was shown, or nothing.
async fn change(client: &Client, format: OutputFormat, mut request: LinkRequest) -> Result<Exit, Failure> {
    let plan = client.post::<LinkPlanShown>(&api_path(&["links", "plan"]), &request).await?;
    if plan.value.links.is_empty() && plan.value.excepted.is_empty() {
        let why = plan.value.nobody.as_deref().map_or_else(String::new, |why| format!(": {}", escape_controls(why)));
        format.print(&plan.json, |paint| format!("nobody is to be linked{why}\n{}", notes_text(paint, &plan.value)));
        return Ok(Exit::Yes);
    }
    if let OutputFormat::Text(paint) = format {
        print(&plan_text(paint, request.change, &plan.value));
    }
    let id = &plan.value.plan;
    if request.confirm.is_none() {
        if format == OutputFormat::Json {
            format.print(&plan.json, |_| String::new());
            return Ok(Exit::No);
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Refused(format!("say --confirm {id} if you mean it; nothing was changed")));
        }
        if !says_yes(&format!("{}? [y/N] ", if request.change == LinkChange::Link { "link" } else { "unlink" }))? {
            return Err(Failure::Refused("nothing was changed".to_owned()));
        }
        request.confirm = Some(id.clone());
    }
    let done = client.post::<LinksApplied>(&api_path(&["links"]), &request).await?;
    let LinksApplied { links, left, position, .. } = &done.value;
    let word = if request.change == LinkChange::Link { "linked" } else { "parted" };
    let text = match links {
        _ if plan.value.links.is_empty() && request.change == LinkChange::Unlink => {
            format!("they stay two people, position {position}\n")
        }
        1 if stays_one(&plan.value) => {
            format!("the link is ended, and they stay one user by others, position {position}\n")
        }
        _ if plan.value.links.is_empty() => {
            format!("nobody {word}, and who was excepted stays two people, position {position}\n")
        }
        1 => format!("two people {word}, position {position}\n"),
        links => format!("{links} times two people {word}, position {position}\n"),
    };
    let text = match left {
        0 => text,
        left => format!("{text}{left} more pairs are left: give the command again\n"),
    };
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

/// Whether two whose link ends are one user still.
fn stays_one(plan: &LinkPlanShown) -> bool {
    plan.notes.iter().any(|note| note.kind == LinkNoteKind::StaysOne)
}

fn pair_text(pair: &LinkPlanned) -> String {
    let all = pair.persons.iter().zip(&pair.names);
    let all: Vec<String> =
        all.map(|(person, name)| format!("{} ({})", escape_controls(person), escape_controls(name))).collect();
    all.join(" and ")
}

fn notes_text(paint: ColorMode, plan: &LinkPlanShown) -> String {
    let notes = plan.notes.iter().take(MAX_PRINTED);
    notes
        .map(|note| format!("  {} {}  {}\n", paint.bad("!"), cell(&note.person), escape_controls(&note.text)))
        .collect()
}

fn plan_text(paint: ColorMode, change: LinkChange, plan: &LinkPlanShown) -> String {
    let mut out = String::new();
    let (sign, what) = match change {
        LinkChange::Link => (paint.good("+"), "are one user"),
        LinkChange::Unlink if stays_one(plan) => (paint.bad("-"), "are linked no longer"),
        LinkChange::Unlink => (paint.bad("-"), "are one user no longer"),
    };
    for pair in plan.links.iter().take(MAX_PRINTED) {
        out.push_str(&format!("  {sign} {} {what}\n", pair_text(pair)));
    }
    if plan.links.len() > MAX_PRINTED {
        out.push_str(&format!("  and {} more; --json has them\n", plan.links.len() - MAX_PRINTED));
    }
    if plan.left > 0 {
        let at_once = plan.links.len();
        let left = paint.bad(&format!("{} more pairs are left", plan.left));
        out.push_str(&format!("  {left}: at most {at_once} are linked at once; ask again once these are\n"));
    }
    for pair in plan.excepted.iter().take(MAX_PRINTED) {
        let text = pair_text(pair);
        out.push_str(&format!("  {} {text} stay two people, whatever a rule says later\n", paint.dim("=")));
    }
    out.push_str(&notes_text(paint, plan));
    if plan.changes.is_empty() {
        out.push_str("no role changes\n");
    }
    for PersonChangeShown { person, name, scope, role, appears } in plan.changes.iter().take(MAX_PRINTED) {
        let sign = if *appears { paint.good("+") } else { paint.bad("-") };
        out.push_str(&format!("  {sign} {}  {} ({})  {}\n", scope_text(scope), cell(name), cell(person), cell(role)));
    }
    let more = plan.total.saturating_sub(plan.changes.len().min(MAX_PRINTED) as u64);
    if more > 0 {
        out.push_str(&format!("  and {more} more\n"));
    }
    out.push_str(&format!("plan {}\n", escape_controls(&plan.plan)));
    out
}

/// `users rename`.
///
/// # Errors
/// As [`Failure`].
pub async fn rename(client: &Client, format: OutputFormat, user: &str, new: &NewUserName) -> Result<Exit, Failure> {
    let name = &new.username;
    let done = client.put::<CommandOutcome>(&api_path(&["users", user, "username"]), new).await?;
    let text = match &*done.value.effect {
        "applied" => format!("{} is called {} now, position {}\n", cell(&user), cell(&name), done.value.position),
        _ => format!("{} was called so already\n", cell(&user)),
    };
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

/// `users free`.
///
/// # Errors
/// As [`Failure`].
pub async fn free(client: &Client, format: OutputFormat, name: &str, with_project: bool) -> Result<Exit, Failure> {
    let query = [("with_personal_project", with_project.to_string())];
    let done = client.delete_with::<CommandOutcome>(&api_path(&["usernames", name]), &query).await?;
    let text = match &*done.value.effect {
        "applied" => format!("{} is kept for nobody any more, position {}\n", cell(&name), done.value.position),
        _ => format!("{} was kept for nobody\n", cell(&name)),
    };
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use rollcall_app::access::identity::LinkNoteShown;

    use super::*;

    #[test]
    fn a_plan_that_is_not_the_whole_says_how_many_are_left() {
        let plan = |left| LinkPlanShown {
            plan: "lnk_1".to_owned(),
            links: Vec::new(),
            excepted: Vec::new(),
            notes: Vec::new(),
            nobody: None,
            changes: Vec::new(),
            total: 0,
            left,
        };
        let text = |left| plan_text(ColorMode::Plain, LinkChange::Link, &plan(left));
        assert!(text(41).contains("41 more pairs are left"), "{}", text(41));
        assert!(!text(0).contains("left"), "{}", text(0));
    }

    #[test]
    fn what_is_shown_of_two_who_are_parted_says_whether_they_were_one_and_are_still() {
        let note = |kind| LinkNoteShown { kind, person: "lab/a".to_owned(), text: "told".to_owned(), event: None };
        let pair =
            LinkPlanned { persons: ["lab/a".to_owned(), "corp/a".to_owned()], names: ["a".to_owned(), "b".to_owned()] };
        for (is_linked, kind, shown) in [
            (true, LinkNoteKind::Stays, "- lab/a (a) and corp/a (b) are one user no longer\n"),
            (true, LinkNoteKind::StaysOne, "- lab/a (a) and corp/a (b) are linked no longer\n"),
            (false, LinkNoteKind::Parted, "= lab/a (a) and corp/a (b) stay two people, whatever a rule says later\n"),
        ] {
            let plan = LinkPlanShown {
                plan: "lnk_1".to_owned(),
                links: is_linked.then(|| pair.clone()).into_iter().collect(),
                excepted: (!is_linked).then(|| pair.clone()).into_iter().collect(),
                notes: vec![note(kind)],
                nobody: None,
                changes: Vec::new(),
                total: 0,
                left: 0,
            };
            let text = plan_text(ColorMode::Plain, LinkChange::Unlink, &plan);
            assert!(text.contains(shown), "{text}");
        }
    }
}
