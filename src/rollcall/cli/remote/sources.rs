//! `sources`: how each source is, as the server sees it and as it looks from this machine; suspending, resuming and
//! retiring one.

use std::io::IsTerminal as _;

use rollcall_app::operations::{
    configuration::AccessRowShown,
    source_changes::{SourceChange, SourceChanged, SourceConfirmation, SourcePlanShown, SourceRetirement},
    sources::Source,
};
use rollcall_events::Clock;
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{ColorMode, OutputFormat, cell, escape_controls, print, table},
        remote::{
            configuration::{MAX_PRINTED_ROWS, rows_text, says_yes},
            request::api_path,
        },
    },
    client::{Client, Exit, Failure, Reply},
    config::load::Loaded,
    server::clock::SystemClock,
    sources::Grade,
};

/// `sources`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.items::<Source>(&api_path(&["sources"])).await?;
    format.print(&rows.json, |paint| sources_text(paint, &rows.value));
    Ok(Exit::Yes)
}

/// `sources show`: what the server knows of one, and what it says to this machine.
///
/// # Errors
/// As [`Failure`].
pub async fn show(client: &Client, format: OutputFormat, loaded: &Loaded, name: &str) -> Result<Exit, Failure> {
    let all = client.items::<Source>(&api_path(&["sources"])).await?.each();
    let known = all.into_iter().find(|source| source.value.name == name);
    let configured = loaded.sources.iter().find(|(configured, _)| configured.as_str() == name);
    let inspect = configured.and_then(|(_, source)| source.inspect.as_ref());
    if known.is_none() && inspect.is_none() {
        return Err(Failure::Usage(format!("no source has the name `{}`", name.escape_debug())));
    }
    let mut findings = Vec::new();
    if let Some(inspect) = inspect {
        findings = inspect.inspect(SystemClock.now()).await;
    }
    let good = findings.iter().all(|finding| finding.grade != Grade::Bad);
    let looked: Vec<Value> =
        findings.iter().map(|f| json!({"check": f.check, "grade": f.grade.as_str(), "text": f.text})).collect();
    let (json, rows) = known.map(|source| (source.json, source.value)).unzip();
    format.print(&json!({"source": json, "directory": looked}), |paint| {
        let mut out = sources_text(paint, rows.as_slice());
        for finding in &findings {
            let mark = match finding.grade {
                Grade::Good => paint.good("✓"),
                Grade::Odd => paint.bold("!"),
                Grade::Bad => paint.bad("✗"),
            };
            out.push_str(&format!("{mark} {:<8} {}\n", finding.check, escape_controls(&finding.text)));
        }
        out
    });
    Ok(if good { Exit::Yes } else { Exit::No })
}

/// `sources suspend` and `sources resume`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn change(
    client: &Client,
    format: OutputFormat,
    name: &str,
    change: SourceChange,
    confirm: Option<String>,
) -> Result<Exit, Failure> {
    let word = change.as_str();
    let SourcePlanShown { plan: id, held, .. } = &show_plan(client, format, name, change).await?;
    let terminal = std::io::stdin().is_terminal() && format != OutputFormat::Json;
    let confirm = match (confirm, held) {
        (Some(confirm), _) => Some(confirm),
        (None, _) if terminal => {
            if !says_yes(&format!("{word} {}? [y/N] ", cell(&name)))? {
                return Err(Failure::Refused("nothing was changed".to_owned()));
            }
            Some(id.clone())
        }
        (None, Some(why)) => {
            let text = format!("{why}; say --confirm {id} if you mean it; nothing was changed");
            return Err(Failure::Refused(escape_controls(&text)));
        }
        // What is done is what was shown, or nothing.
        (None, None) => Some(id.clone()),
    };
    let done =
        client.post::<SourceChanged>(&api_path(&["sources", name, word]), &SourceConfirmation { confirm }).await?;
    let done_text = match (change, &*done.value.effect) {
        (SourceChange::Suspend, "applied") => "is suspended: its facts do not count until it is resumed",
        (SourceChange::Suspend, _) => "was suspended already",
        (SourceChange::Resume, "applied") => "is resumed: its facts count again",
        (SourceChange::Resume, _) => "was not suspended",
        (SourceChange::Retire, _) => "is retired, for ever",
    };
    let text = format!("source {} {done_text}, position {}\n", cell(&name), done.value.position);
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

/// Shows whom it would change.
async fn show_plan(
    client: &Client,
    format: OutputFormat,
    name: &str,
    change: SourceChange,
) -> Result<SourcePlanShown, Failure> {
    let path = ["sources", name, change.as_str(), "plan"];
    let plan: Reply<SourcePlanShown> = client.get(&api_path(&path), &[]).await?;
    if let OutputFormat::Text(paint) = format {
        let rows: Vec<AccessRowShown> = if plan.value.rows > 0 {
            let path = [&path[..], &["rows"]].concat();
            client.all_pages(&api_path(&path), &[], MAX_PRINTED_ROWS).await?.value
        } else {
            Vec::new()
        };
        print(&change_text(paint, &plan.value, &rows));
    }
    Ok(plan.value)
}

/// `sources retire`: the name is typed once more, and what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn retire(
    client: &Client,
    format: OutputFormat,
    name: &str,
    for_ever: Option<String>,
    confirm: Option<String>,
) -> Result<Exit, Failure> {
    let plan = show_plan(client, format, name, SourceChange::Retire).await?;
    let terminal = std::io::stdin().is_terminal() && format != OutputFormat::Json;
    let source = match for_ever {
        Some(typed) => typed,
        None if terminal => {
            print("This cannot be undone. Type the name of the source to retire it, for ever: ");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
            line.trim().to_owned()
        }
        None => {
            let text = format!("say --for-ever {name} to retire it, which cannot be undone; nothing was changed");
            return Err(Failure::Usage(escape_controls(&text)));
        }
    };
    if source != name {
        return Err(Failure::Refused("that is another name; nothing was changed".to_owned()));
    }
    let confirm = match (confirm, plan.held) {
        (Some(confirm), _) => confirm,
        (None, Some(why)) if !terminal => {
            let text = format!("{why}; say --confirm {} if you mean it; nothing was changed", plan.plan);
            return Err(Failure::Refused(escape_controls(&text)));
        }
        (None, _) => plan.plan,
    };
    let body = SourceRetirement { source, confirm: Some(confirm) };
    let done = client.post::<SourceChanged>(&api_path(&["sources", name, "retire"]), &body).await?;
    let text = format!("source {} is retired, for ever, position {}\n", cell(&name), done.value.position);
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

fn change_text(paint: ColorMode, plan: &SourcePlanShown, rows: &[AccessRowShown]) -> String {
    if plan.effect != "applied" {
        return "no difference: it is so already\n".to_owned();
    }
    let mut out = rows_text(paint, &plan.plan, [plan.people, plan.rows, plan.gains, plan.losses], rows);
    if let Some(why) = &plan.held {
        out.push_str(&format!("{} {}\n", paint.bad("Held:"), cell(why)));
    }
    out
}

fn sources_text(paint: ColorMode, sources: &[Source]) -> String {
    let heading = ["SOURCE", "STATE", "FACTS", "CHECKED", "APPLIED", "HELD", "PARKED", "HOOK"];
    let row = |source: &Source| {
        let reading = source.reading.as_ref();
        let state = match reading {
            _ if source.retired.is_some() => "retired".to_owned(),
            _ if source.suspended.is_some() => "suspended".to_owned(),
            None => "posts".to_owned(),
            Some(reading) => reading.state.as_ref().map_or_else(|| "not read yet".to_owned(), cell),
        };
        let held = reading.and_then(|reading| reading.held.as_ref());
        vec![
            cell(&source.name),
            state,
            cell(&reading.map(|reading| reading.facts)),
            cell(&reading.map(|reading| reading.checked_at)),
            cell(&reading.map(|reading| reading.applied)),
            held.map(|held| format!("{} ({})", cell(&held.said), cell(&held.plan))).unwrap_or_default(),
            cell(&source.parked.count),
            cell(&source.hook),
        ]
    };
    let mut out = table(paint, &heading, &sources.iter().map(row).collect::<Vec<_>>());
    for source in sources {
        if let Some(said) = &source.retired {
            let by = said.by.as_ref().map_or_else(|| "the operator".to_owned(), cell);
            let (name, since) = (paint.bold(&cell(&source.name)), cell(&said.since));
            out.push_str(&format!("\n{name}: retired by {by} {since} (event {}), for ever\n", said.position));
        }
        if let Some(said) = &source.suspended {
            let by = said.by.as_ref().map_or_else(|| "the operator".to_owned(), cell);
            let (name, since) = (paint.bold(&cell(&source.name)), cell(&said.since));
            out.push_str(&format!(
                "\n{name}: suspended by {by} {since} (event {}): its facts do not count\n",
                said.position
            ));
        }
        if let Some(reading) = &source.reading {
            if let Some(reason) = &reading.reason {
                out.push_str(&format!("\n{}: {}\n", paint.bold(&cell(&source.name)), cell(reason)));
                if let Some(since) = reading.sealed_at.filter(|_| reading.failures != 0) {
                    out.push_str(&format!("  last read whole {}; what it said then stays\n", cell(&since)));
                }
            }
            if let Some((plan, since)) = reading.held.as_ref().and_then(|held| Some((&held.plan, held.no_news_since?)))
            {
                out.push_str(&format!(
                    "  since {}, news of this source does not count: read `rollcall plan {name}`, then `rollcall apply {}`\n",
                    cell(&since),
                    cell(plan),
                    name = cell(&source.name),
                ));
            }
            if let Some(whole) = &reading.whole {
                out.push_str(&format!("  read as a whole {}: {}\n", cell(&whole.at), cell(&whole.why)));
            }
            let samples = [
                (&reading.excluded, "left as it is"),
                (&reading.absent, "listed and not there"),
                (&reading.outside, "listed and outside what is read"),
            ];
            for (sample, text) in samples {
                for what in &sample.first {
                    out.push_str(&format!("  {text}: {}\n", cell(what)));
                }
            }
        }
        // Of a single secret there is nothing to tell apart.
        for (nth, secret) in source.secrets.iter().enumerate().filter(|_| source.secrets.len() > 1) {
            let which = if nth == 0 { "current secret".to_owned() } else { format!("previous secret {nth}") };
            let used = match (secret.last_used, source.secrets_since) {
                (Some(at), _) => format!("last used {}", cell(&at)),
                (None, since) => format!("not used since {}", cell(&since)),
            };
            out.push_str(&format!("  {which} {}: {used}\n", cell(&secret.fingerprint)));
        }
        for what in &source.parked.first {
            out.push_str(&format!("  parked: {}\n", cell(what)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source as the API shows it, of which this much is said.
    fn source(mut said: Value) -> Source {
        let whole = json!({"order": "version", "authoritative": false, "max_body": null, "seen": true});
        let source = said.as_object_mut().unwrap();
        for (name, value) in whole.as_object().unwrap() {
            source.entry(name).or_insert(value.clone());
        }
        if let Some(reading) = source.get_mut("reading").and_then(Value::as_object_mut) {
            reading.entry("whole").or_insert(Value::Null);
        }
        serde_json::from_value(said).unwrap()
    }

    #[test]
    fn sources_show_their_state_and_why() {
        let rows = [
            json!({"name": "flexnet", "hook": "/hooks/flexnet", "parked": {"count": 1, "first": ["package/x (event 7): name taken"]}, "reading": null}),
            json!({"name": "corp", "hook": null, "parked": {"count": 0, "first": []}, "reading": {
                "state": "unauthorised", "reason": "ou=people: rc 49", "facts": 61, "failures": 2, "applied": 70,
                "checked_at": "2026-11-22T07:00:00Z", "sealed_at": "2026-11-22T06:00:00Z",
                "held": {"plan": "pln_1", "removals": 7, "said": "7 removals", "no_news_since": "2026-11-21T06:00:00Z", "reason": "x"},
                "absent": {"count": 1, "first": ["cn=gone"]}, "outside": {"count": 1, "first": ["cn=out"]}, "excluded": {"count": 0, "first": []}}}),
        ];
        let text = sources_text(ColorMode::Plain, &rows.map(source));
        for part in [
            "flexnet  posts",
            "corp     unauthorised  61     2026-11-22T07:00:00Z  70       7 removals (pln_1)",
            "corp: ou=people: rc 49",
            "last read whole 2026-11-22T06:00:00Z",
            "since 2026-11-21T06:00:00Z, news of this source does not count: read `rollcall plan corp`, then `rollcall apply pln_1`",
            "listed and not there: cn=gone",
            "listed and outside what is read: cn=out",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
