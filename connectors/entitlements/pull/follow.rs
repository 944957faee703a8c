//! What changed lately: asked for again and again, from the instant of the last time on, with an overlap that clocks may be
//! apart and answers be late. What is not among it is as it was: a part of a source never says that something is gone.

use std::convert::Infallible;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rollcall_ingest::connector::{
    ChangeSink, Cursor, Fact, Failure, Pull as _, ResumePoint, SaveOutcome, SourceChange, StateUpdate,
};
use rollcall_outbound::Url;

use super::Listings;

/// How much is asked for again.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// Asks for changes, for ever.
pub(super) async fn changes(source: &Listings, sink: &ChangeSink) -> Result<Infallible, Failure> {
    let resumed = match sink.resume_point().await? {
        Ok(ResumePoint { cursor, .. }) => instant(&cursor),
        Err(why) => {
            let builder = sink.begin_snapshot(why).await?;
            let began = builder.now();
            let snapshot = source.read(builder).await?;
            sink.apply_snapshot(snapshot).await?;
            save(sink, began).await?;
            Some(began)
        }
    };
    let mut since = resumed.unwrap_or_else(|| sink.now());
    loop {
        tokio::time::sleep(source.0.poll).await;
        let asked = sink.now();
        let mut all = Vec::new();
        for listing in &source.0.listings {
            let Some(changed) = &listing.changed else { continue };
            let first = url_since(changed, since - OVERLAP)?;
            let take = |facts: Vec<Fact>| all.extend(facts.into_iter().map(change));
            source.pages(listing, first, asked, None, take).await?;
        }
        if !all.is_empty() {
            sink.send(all).await?;
        }
        // A clock that was set back does not ask for less.
        if save(sink, asked.max(since)).await? == SaveOutcome::Saved {
            since = asked.max(since);
        }
        sink.heartbeat().await?;
    }
}

fn change(fact: Fact) -> SourceChange {
    if fact.body.is_removal() { SourceChange::Removed(fact.body) } else { SourceChange::Fact(fact) }
}

async fn save(sink: &ChangeSink, at: DateTime<Utc>) -> Result<SaveOutcome, Failure> {
    let cursor = Cursor(written(at).into_bytes());
    Ok(sink.save(cursor, || StateUpdate::Replace(Vec::new())).await?)
}

fn instant(cursor: &Cursor) -> Option<DateTime<Utc>> {
    std::str::from_utf8(&cursor.0).ok()?.parse().ok()
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The URL of what changed since an instant.
pub(super) fn url_since(text: &str, since: DateTime<Utc>) -> Result<Url, Failure> {
    let url = text.replace("{since}", &written(since).replace(':', "%3A"));
    url.parse().map_err(|error| Failure::Partial(format!("`changed` is no URL: {error}")))
}
