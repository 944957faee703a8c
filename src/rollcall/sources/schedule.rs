//! The keys of every kind that Rollcall reads by itself: when it is read, and what becomes of what it says. Reads nothing.

use rollcall_ingest::{Cron, ReadOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{sources::KeyError, values::HumanDuration};

/// The keys of every kind that is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReadSchedule {
    /// When it is read as a whole. Five fields, UTC (minute, hour, day of month, month, day of week, 0 and 7 being
    /// Sunday), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    schedule: String,
    /// Each read begins so much later at most, by chance, so that not all sources are asked in the same second.
    jitter: HumanDuration,
    /// `apply` records what the first read finds, `plan` waits for `rollcall apply`.
    first_run: FirstRun,
    /// Hold removals for a person when they are more than a fifth (and at least 20) of the source's facts, would empty a
    /// group or project of five or more, or the answer is empty.
    guard: bool,
    /// After so long without a good read everything that the source said ends, until it can be read again. When absent,
    /// it stays for ever: an outage takes nothing away from anybody.
    revoke_after: Option<HumanDuration>,
}

/// What becomes of the first read of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FirstRun {
    /// What it finds is recorded.
    Apply,
    /// It is a plan that waits for a person.
    Plan,
}

impl Default for ReadSchedule {
    fn default() -> Self {
        Self {
            schedule: "*/15 * * * *".into(),
            jitter: HumanDuration::seconds(30),
            first_run: FirstRun::Apply,
            guard: true,
            revoke_after: None,
        }
    }
}

impl ReadSchedule {
    /// How the source is read.
    ///
    /// # Errors
    /// Every key that is wrong.
    pub fn options(&self) -> Result<ReadOptions, Vec<KeyError>> {
        let mut wrong = Vec::new();
        let schedule = self.schedule.parse::<Cron>().map_err(|error| wrong.push(KeyError::of("schedule", error)));
        if self.revoke_after.is_some_and(|after| after < HumanDuration::seconds(3600)) {
            let what = "less than 1h would make an ordinary outage a removal of everybody";
            wrong.push(KeyError::of("revoke_after", what));
        }
        match schedule {
            Ok(schedule) if wrong.is_empty() => Ok(ReadOptions {
                schedule,
                jitter: self.jitter.0,
                first_run_waits: self.first_run == FirstRun::Plan,
                guard: self.guard,
                revoke_after: self.revoke_after.map(|after| after.0),
            }),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_is_read_every_quarter_of_an_hour_with_the_guard_on_unless_it_says_otherwise() {
        let usual = ReadSchedule::default().options().unwrap();
        assert_eq!(
            (usual.schedule.to_string().as_str(), usual.guard, usual.first_run_waits),
            ("*/15 * * * *", true, false)
        );
        assert_eq!((usual.jitter, usual.revoke_after), (Duration::from_secs(30), None));
    }

    #[test]
    fn every_key_that_is_wrong_is_told() {
        let keys = ReadSchedule {
            schedule: "often".into(),
            revoke_after: Some(HumanDuration::seconds(60)),
            ..ReadSchedule::default()
        };
        let wrong: Vec<_> = keys.options().err().unwrap().into_iter().map(|error| error.at).collect();
        assert_eq!(wrong, [crate::sources::Place::Key("schedule"), crate::sources::Place::Key("revoke_after")]);
    }
}
