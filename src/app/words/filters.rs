//! Whether what a list is narrowed to is there: an empty list for a mistyped name would be taken for an answer. Names what
//! there is to whoever may see the list of it, and to nobody else.

use std::collections::BTreeSet;

use rollcall_events::{Body, LOCAL, names::has_form_of_id};

use crate::{
    Reads,
    error::{ErrorKind, Result},
    find,
    words::nearest::did_you_mean,
};

/// Refuses a source that is neither configured nor in the log.
pub(crate) fn known_source(reads: &Reads, asked: Option<&str>) -> Result<()> {
    let Some(asked) = asked else { return Ok(()) };
    let roster = reads.live().read();
    let settings = roster.settings().sources.keys().map(|name| name.as_str());
    let known: BTreeSet<&str> = settings.chain(roster.sources()).chain([LOCAL]).collect();
    if known.contains(asked) || reads.receiver().max_body(asked).is_some() || reads.runners().reads(asked) {
        return Ok(());
    }
    let there = if reads.view(&roster).may_everywhere("source.list") {
        let known: Vec<&str> = known.into_iter().collect();
        format!(" There are {}.{}", known.join(", "), did_you_mean(asked, known.iter().copied()))
    } else {
        String::new()
    };
    Err(ErrorKind::InvalidQuery.because(format!("`source={}` is no source here.{there}", asked.escape_debug())))
}

/// Refuses an account that no source ever named. Of lists that nobody sees who may not see every person.
pub(crate) fn known_account(reads: &Reads, asked: Option<&str>) -> Result<()> {
    match asked {
        Some(asked) if !reads.live().read().is_account(asked) => Err(ErrorKind::InvalidQuery
            .because(format!("`account={}` is no account that a source named.", asked.escape_debug()))),
        _ => Ok(()),
    }
}

/// Refuses what no delivery, no read of a source and no request is called.
pub(crate) fn correlation(asked: Option<&str>) -> Result<()> {
    let is_request = |text: &str| text.strip_prefix("req_").is_some_and(|id| id.len() == 32);
    let is_id = |text: &str| {
        is_request(text) || (["dlv_", "run_"].iter().any(|kind| text.starts_with(kind)) && has_form_of_id(text))
    };
    match asked {
        Some(asked) if !is_id(asked) => Err(ErrorKind::InvalidQuery.because(format!(
            "`correlation={}` is no id of a delivery (dlv_..), of a read of a source (run_..) or of a request with an `Idempotency-Key` (req_..).",
            asked.escape_debug()
        ))),
        _ => Ok(()),
    }
}

/// The type of events that is meant: as the log has it, or without its `rollcall.` and `.v1`, as people see it. What ends in
/// `*` is every type that begins so.
///
/// # Errors
/// No type is so.
pub(crate) fn event_type(asked: &str) -> Result<String> {
    let is_known = |text: &str| match text.strip_suffix('*') {
        Some(begins) => Body::TYPES.iter().any(|known| known.starts_with(begins)),
        None => Body::TYPES.contains(&text),
    };
    let forms = [asked.to_owned(), format!("rollcall.{asked}"), format!("rollcall.{asked}.v1")];
    forms.into_iter().find(|text| is_known(text)).ok_or_else(|| {
        let short = |known: &&str| known.trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned();
        let known: Vec<String> = Body::TYPES.iter().map(short).collect();
        let nearest = did_you_mean(asked, known.iter().map(String::as_str));
        let known = known.join(", ");
        ErrorKind::InvalidQuery
            .because(format!("`type={}` is no type of event.{nearest} There are {known}.", asked.escape_debug()))
    })
}

/// Refuses a project that nobody ever called so, where nothing was found of it.
pub(crate) fn known_project(reads: &Reads, asked: Option<&str>) -> Result<()> {
    let roster = reads.live().read();
    asked.map_or(Ok(()), |asked| find::project(&roster, asked).map(|_| ()))
}
