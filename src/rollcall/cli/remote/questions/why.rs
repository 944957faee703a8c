//! `why`: may somebody do something, and why; asked in words, or with what a customer pasted.

use std::io::Read as _;

use rollcall_app::{
    access::{
        decisions::DecisionInFull,
        explain::{AccessQuestion, BasisName, Explained},
    },
    operations::deliveries::DeliveryInFull,
    words::pasted::{CLIENTS, Image, Pasted},
};

use crate::{
    cli::{
        output::{OutputFormat, escape_controls, print, shell_quote},
        remote::{
            questions::{explanation, image},
            records::{decisions, deliveries, sign_ins},
            request::api_path,
        },
    },
    client::{Client, Exit, Failure},
    stderr::note,
};

/// What `why` takes beside its words.
pub struct Asking<'a> {
    /// The moment.
    pub as_of: Option<&'a str>,
    /// With what is known now about then.
    pub effective: bool,
    /// The secret.
    pub secret: Option<&'a str>,
}

/// `why`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(
    client: &Client,
    format: OutputFormat,
    words: &[String],
    asking: &Asking<'_>,
) -> Result<Exit, Failure> {
    let is_client = |word: &String| CLIENTS.contains(&word.as_str());
    let (user, text) = match words {
        [user, action, scope] => match in_words(client, format, (user, action, scope), asking).await {
            Err(failure) if is_client(user) => {
                return Err(failure.with(&format!(
                    "\n  A command that was pasted stands behind the user: rollcall why USER {}",
                    shell_quote(&words.join(" "))
                )));
            }
            answer => return answer,
        },
        [only] => (None, only.clone()),
        [first, ..] if is_client(first) => (None, words.join(" ")),
        [user, pasted @ ..] => (Some(user.as_str()), pasted.join(" ")),
        [] => (None, String::new()),
    };
    let text = if text == "-" { from_standard_input()? } else { text };
    pasted(client, format, user, &text, asking).await
}

fn from_standard_input() -> Result<String, Failure> {
    /// More than any client says at once.
    const MOST: u64 = 256 * 1024;
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST).read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("standard input cannot be read as text: {error}")))?;
    Ok(text)
}

/// Prints what was understood of a text, before the answer: programs get it beside theirs.
pub fn print_read_as(format: OutputFormat, text: &str) {
    let text = escape_controls(text);
    match format {
        OutputFormat::Json => note(&format!("{text}\n")),
        OutputFormat::Text(paint) => print(&format!("{}\n", paint.dim(&text))),
    }
}

/// A question in words: who, what, where.
async fn in_words(
    client: &Client,
    format: OutputFormat,
    (user, action, scope): (&str, &str, &str),
    asking: &Asking<'_>,
) -> Result<Exit, Failure> {
    let said = |text: &str| Some(text.to_owned());
    // As `bindings` has it, where a bare word is a project: one that is called root is project:root.
    let (folder, project, repository) = match (scope, scope.strip_prefix("folder:")) {
        ("root", _) => (None, None, None),
        (_, Some(id)) => (said(id), None, None),
        (word, None) => match word.strip_prefix("project:") {
            Some(name) => {
                let (project, rest) = image::split(name);
                (None, said(project), rest.and_then(said))
            }
            None => match Image::read(word).filter(|image| image.name != word) {
                Some(image) => return about(client, format, (user, action), image, asking).await,
                None => {
                    let (project, rest) = image::split(word);
                    (None, said(project), rest.and_then(said))
                }
            },
        },
    };
    ask(client, format, question((user, action), (folder, project, repository)), scope, asking).await
}

fn question(
    (user, action): (&str, &str),
    (folder, project, repository): (Option<String>, Option<String>, Option<String>),
) -> AccessQuestion {
    AccessQuestion {
        user: Some(user.to_owned()),
        action: action.to_owned(),
        project,
        folder,
        repository,
        secret: None,
        as_of: None,
        basis: None,
    }
}

async fn ask(
    client: &Client,
    format: OutputFormat,
    question: AccessQuestion,
    shown: &str,
    asking: &Asking<'_>,
) -> Result<Exit, Failure> {
    let basis = if asking.effective { BasisName::Effective } else { BasisName::Recorded };
    let question = AccessQuestion {
        secret: asking.secret.map(str::to_owned),
        as_of: asking.as_of.map(str::to_owned),
        basis: asking.as_of.map(|_| basis),
        ..question
    };
    let answer = client.post::<Explained>(&api_path(&["explain"]), &question).await?;
    format.print(&answer.json, |paint| explanation::tree(paint, &answer.value, shown));
    Ok(if answer.value.explanation.allowed { Exit::Yes } else { Exit::No })
}

/// A question about an image with what clients write around its name.
async fn about(
    client: &Client,
    format: OutputFormat,
    (user, action): (&str, &str),
    image: Image,
    asking: &Asking<'_>,
) -> Result<Exit, Failure> {
    let read = image::without_registry(client, &image).await;
    print_read_as(format, &format!("read as: may {user} {action} {}?", read.name));
    read.notes.iter().for_each(|note| print_read_as(format, note));
    let (project, rest) = image::split(&read.name);
    let place = (None, Some(project.to_owned()), rest.map(str::to_owned));
    ask(client, format, question((user, action), place), &read.name, asking).await
}

/// A question with what somebody pasted.
async fn pasted(
    client: &Client,
    format: OutputFormat,
    user: Option<&str>,
    text: &str,
    asking: &Asking<'_>,
) -> Result<Exit, Failure> {
    let read = Pasted::read(text);
    let user = user.or(read.user.as_deref());
    let action = read.action.unwrap_or("pull");
    if let Some(id) = &read.delivery {
        let delivery = client.get::<DeliveryInFull>(&api_path(&["deliveries", id]), &[]).await?;
        print_read_as(format, &format!("read as: what became of delivery {}?", delivery.value.delivery.id));
        format.print(&delivery.json, |paint| deliveries::outcome_text(paint, &delivery.value));
        return Ok(if deliveries::is_in_effect(&delivery.value) { Exit::Yes } else { Exit::No });
    }
    if let Some(id) = &read.decision {
        match client.get::<DecisionInFull>(&api_path(&["decisions", id]), &[]).await {
            Ok(found) => {
                let DecisionInFull { decision, now } = &found.value;
                let who = decision.user.as_deref().unwrap_or("somebody who did not sign in");
                print_read_as(
                    format,
                    &format!("read as: decision {}, in which {who} asked for {}", decision.id, decision.asked),
                );
                format.print(&found.json, |paint| decisions::text(paint, &found.value));
                let allowed = !now.is_empty() && now.iter().all(|explained| explained.explanation.allowed);
                return Ok(if allowed { Exit::Yes } else { Exit::No });
            }
            // What the text says beside the id is asked instead.
            Err(Failure::Refused(why)) if read.image.is_some() && user.is_some() => {
                print_read_as(format, &format!("note: {id}: {why}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    match (read.image, user) {
        (Some(image), Some(user)) => {
            let exit = about(client, format, (user, action), image, asking).await?;
            for other in &read.others {
                print_read_as(format, &format!("note: {other} stands there too, and was not asked about"));
            }
            if read.unauthorized {
                let user = shell_quote(user);
                print_read_as(format, &format!("note: the registry did not know who asked; see also `rollcall sign-ins {user}`"));
            }
            Ok(exit)
        }
        (Some(image), None) => Err(Failure::Usage(format!(
            "who may not {action} {}? The text does not say: write rollcall why USER {}",
            escape_controls(&image.name),
            shell_quote(text.trim())
        ))),
        (None, Some(user)) if read.unauthorized => {
            print_read_as(format, &format!("read as: which sign-ins of {user} were refused?"));
            sign_ins::list(client, format, Some(user)).await?;
            Ok(Exit::No)
        }
        (None, _) if read.unauthorized => Err(Failure::Usage(
            "a sign-in was refused, and the text does not say whose: rollcall sign-ins USER shows why".to_owned(),
        )),
        (None, _) => Err(Failure::Usage(
            "nothing in that names an image, a decision (dec_..) or a delivery (dlv_..): write rollcall why USER ACTION PROJECT[/REPO], \
             or rollcall why USER with what a client said"
                .to_owned(),
        )),
    }
}
