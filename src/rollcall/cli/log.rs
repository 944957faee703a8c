//! `log mend-clock`: a log whose newest record is later than it is now, after a clock that lied, or one that rested for so
//! long that nobody can know which is right. Shows both; records that the clock is right where somebody confirms it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_eventlog::{EngineConfig, Log, Moment, Tail, When};
use rollcall_events::{Clock, Position, time::for_people};
use serde_json::json;

use crate::{
    cli::output::{OutputFormat, group_digits},
    client::{Exit, Failure},
    config::data_dir::DataDir,
    server::clock::SystemClock,
};

/// What the log and the clock say.
struct Both {
    newest: Moment,
    now: DateTime<Utc>,
    /// The first record that carries a time that the clock has not reached yet.
    first_ahead: Option<Position>,
}

/// `log mend-clock`. `confirm`: the newest position, as somebody saw it who means it.
///
/// # Errors
/// When a server runs, there is no log, or it cannot be written.
pub async fn mend_clock(dir: &DataDir, format: OutputFormat, confirm: Option<u64>) -> Result<Exit, Failure> {
    let config: EngineConfig = dir.log();
    if !Log::exists(&config) {
        return Err(Failure::Usage(format!("there is no log in {}", dir.path().display())));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = Log::open_to_mend(&config, Arc::clone(&clock)).await;
    let log = opened.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let answer = answer(&log, clock.now(), format, confirm.map(Position)).await;
    log.close().await;
    answer
}

async fn answer(
    log: &Log,
    now: DateTime<Utc>,
    format: OutputFormat,
    confirm: Option<Position>,
) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Unreachable(error.to_string());
    let head = log.newest().position;
    let newest = log.moment(When::Position(head)).await.map_err(|e| failed(&e))?;
    let Some(newest) = newest else {
        return Err(Failure::Usage("nothing was recorded in this log: there is nothing to mend".to_owned()));
    };
    let in_time = log.moment(When::Instant(now)).await.map_err(|e| failed(&e))?;
    let in_time = in_time.map_or(Position(0), |moment| moment.position);
    let first_ahead = (in_time < head).then_some(Position(in_time.0 + 1));
    let both = Both { newest, now, first_ahead };
    match confirm {
        None => {
            let json = json!({
                "position": head, "newest": both.newest.recorded_at, "now": now, "first_ahead": both.first_ahead,
                "mended": null,
            });
            format.print(&json, |_| both.to_text());
            Ok(if both.is_to_mend() { Exit::No } else { Exit::Yes })
        }
        Some(seen) if seen != head => {
            Err(Failure::Refused(format!("the newest record is {head}, not {seen}: look again. Nothing was recorded")))
        }
        Some(_) => {
            let mended = log.mend_clock(now).await.map_err(|e| failed(&e))?;
            format.print(&json!({"position": head, "now": now, "mended": mended}), |paint| {
                format!(
                    "{}  recorded at position {}: from here on time is counted from {}\n",
                    paint.good("OK"),
                    group_digits(mended.0),
                    for_people(now)
                )
            });
            Ok(Exit::Yes)
        }
    }
}

impl Both {
    /// How far the log is ahead of the clock.
    fn ahead(&self) -> TimeDelta {
        self.newest.recorded_at - self.now
    }

    fn is_to_mend(&self) -> bool {
        self.ahead() > TimeDelta::zero() || self.ahead() < -TimeDelta::days(1)
    }

    fn to_text(&self) -> String {
        let ahead = self.ahead();
        let (head, newest, now) =
            (group_digits(self.newest.position.0), for_people(self.newest.recorded_at), for_people(self.now));
        let span = |span: TimeDelta| match span.num_days() {
            0 => format!("{} minutes", span.num_minutes()),
            days => format!("{days} days"),
        };
        let mut out = format!("newest record   {newest}, position {head}\nthis machine    {now}\n");
        match self.first_ahead {
            Some(first) => out.push_str(&format!(
                "The log is {} ahead: from position {} on records carry times that are to come.\n",
                span(ahead),
                group_digits(first.0)
            )),
            None => out.push_str(&format!("The clock is {} after the newest record.\n", span(-ahead))),
        }
        if self.is_to_mend() {
            out.push_str(&format!(
                "If this machine's clock is right, record it: rollcall log mend-clock --confirm {}\nNothing was recorded.\n",
                self.newest.position
            ));
        } else {
            out.push_str("There is nothing to mend.\n");
        }
        out
    }
}
