//! `problems`: what was said and is not in effect, with the reason and what to do.

use rollcall_app::operations::problems::ProblemShown;

use crate::{
    cli::{
        output::{ColorMode, OutputFormat, cell, group_digits},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

/// `problems`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(
    client: &Client,
    format: OutputFormat,
    kind: Option<&str>,
    source: Option<&str>,
) -> Result<Exit, Failure> {
    let filters = [("kind", kind), ("source", source)];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
    let rows = client.all_pages::<ProblemShown>(&api_path(&["problems"]), &query, usize::MAX).await?;
    format.print(&rows.json, |paint| text(paint, &rows.value));
    Ok(if rows.value.is_empty() { Exit::Yes } else { Exit::No })
}

/// Three lines each: what it is, why it is not in effect, what to do.
fn text(paint: ColorMode, problems: &[ProblemShown]) -> String {
    if problems.is_empty() {
        return "No problems: everything that was said is in effect.\n".to_owned();
    }
    let mut out = String::new();
    for problem in problems {
        let event =
            problem.position.map(|position| format!(", event {}", group_digits(position.0))).unwrap_or_default();
        let since =
            problem.since.map(|since| format!(", since {}", since.format("%Y-%m-%d %H:%M"))).unwrap_or_default();
        out.push_str(&format!(
            "{} {}: {}  {}\n    why   {}\n    to do {}\n",
            paint.bold(problem.kind.as_str()),
            cell(&problem.subject),
            cell(&problem.said),
            paint.dim(&format!("source {}{event}{since}", cell(&problem.source))),
            cell(&problem.why),
            cell(&problem.remedy),
        ));
    }
    out.push_str(&format!("{} in all.\n", problems.len()));
    out
}

#[cfg(test)]
mod tests {
    use rollcall_app::operations::problems::ProblemKind;
    use rollcall_events::Position;

    use super::*;

    #[test]
    fn each_problem_says_why_and_what_to_do_and_none_is_good_news() {
        let problem = ProblemShown {
            id: "parked:1".into(),
            kind: ProblemKind::Parked,
            since: "2026-03-01T12:00:00Z".parse().ok(),
            position: Some(Position(1_988)),
            source: "flexnet".into(),
            subject: "package/K".into(),
            said: "an event about package/K".into(),
            why: "no name".into(),
            remedy: "state it anew".into(),
        };
        assert_eq!(
            text(ColorMode::Plain, &[problem]),
            "parked package/K: an event about package/K  source flexnet, event 1 988, since 2026-03-01 12:00\n    why   \
             no name\n    to do state it anew\n1 in all.\n"
        );
        assert_eq!(text(ColorMode::Plain, &[]), "No problems: everything that was said is in effect.\n");
    }
}
