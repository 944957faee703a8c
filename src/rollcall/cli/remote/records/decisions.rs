//! `decisions`: answers that were no, or less than what was asked, found again by their id.

use rollcall_app::access::decisions::{Decision, DecisionInFull};

use crate::{
    cli::{
        args::DecisionsCommand,
        output::{ColorMode, Column, OutputFormat, cell},
        remote::{
            questions::explanation,
            request::{api_path, parse_since, parse_until, print_list, query_of},
        },
    },
    client::{Client, Exit, Failure},
};

/// `decisions`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &DecisionsCommand) -> Result<Exit, Failure> {
    match command {
        DecisionsCommand::List { user, project, image, outcome, from, until, limit } => {
            let instant =
                |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            let outcome = outcome.map(|outcome| outcome.as_str().to_owned());
            let (from, until) = (parse_since(from)?.map(instant), parse_until(until)?.map(instant));
            let filters = [
                ("user", user),
                ("project", project),
                ("image", image),
                ("outcome", &outcome),
                ("from", &from),
                ("until", &until),
            ];
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            let rows = client.all_pages(&api_path(&["decisions"]), &query_of(filters), most).await?;
            let columns: [Column<Decision>; 7] = [
                ("DECISION", |row| cell(&row.id)),
                ("AT", |row| cell(&row.at)),
                ("USER", |row| row.user.as_ref().map_or_else(|| "(nobody)".to_owned(), cell)),
                ("OUTCOME", |row| cell(&row.outcome)),
                ("ASKED", |row| cell(&row.asked)),
                ("CLIENT", |row| cell(&row.client)),
                ("TIMES", |row| cell(&row.count)),
            ];
            print_list(format, &columns, &rows);
        }
        DecisionsCommand::Show { id } => {
            let shown = client.get::<DecisionInFull>(&api_path(&["decisions", id]), &[]).await?;
            format.print(&shown.json, |paint| text(paint, &shown.value));
        }
    }
    Ok(Exit::Yes)
}

/// A decision as it was, and what the answer is now.
pub fn text(paint: ColorMode, DecisionInFull { decision, now }: &DecisionInFull) -> String {
    let user = decision.user.as_ref().map_or_else(|| "somebody who did not sign in".to_owned(), cell);
    let mut out = format!(
        "{}  {}  {}\n{user} asked for {} with {} from {}, at position {}\n",
        paint.bold(&cell(&decision.id)),
        cell(&decision.outcome),
        cell(&decision.at),
        cell(&decision.asked),
        cell(&decision.family),
        cell(&decision.client),
        cell(&decision.position),
    );
    if !decision.granted.is_empty() {
        out.push_str(&format!("granted {}\n", cell(&decision.granted)));
    }
    if let Some(message) = &decision.message {
        out.push_str(&format!("told    {}\n", cell(message)));
    }
    if now.is_empty() {
        out.push_str("\nWhat it was about is not there any more.\n");
    }
    for explained in now {
        out.push_str(&format!("\nnow: {}", explanation::tree(paint, explained, &explanation::asked(explained))));
    }
    out
}
