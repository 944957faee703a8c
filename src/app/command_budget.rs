//! How much one person may add to the log, which keeps it for ever: so many commands at once, and then one at a time.
//! Bounds people who command for themselves and in places; whoever commands everywhere answers for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// How many commands somebody may give at once.
const BURST: i32 = 500;
/// How long it takes until there is room for one more.
const REFILL: TimeDelta = TimeDelta::seconds(5);
/// How many people are remembered before those go who have all of their room back.
const REMEMBERED: usize = 10_000;

/// When everybody who commanded lately has all of the room back.
#[derive(Debug, Default)]
pub(crate) struct CommandBudget(Mutex<HashMap<String, DateTime<Utc>>>);

impl CommandBudget {
    /// Takes room for commands that are given together: those that are more than fit are told for how long. What ends
    /// something has twice the room, so that whoever filled somebody's log keeps nobody from ending what did it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, author: &str, commands: usize, ends: bool, now: DateTime<Utc>) -> Result<(), TimeDelta> {
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= REMEMBERED {
            full.retain(|_, at| *at > now);
        }
        let at = full.entry(author.to_owned()).or_insert(now);
        let begin = (*at).max(now);
        let room = REFILL * if ends { 2 * BURST } else { BURST };
        let over = begin + REFILL - now - room;
        if over > TimeDelta::zero() {
            return Err(over);
        }
        *at = begin + REFILL * i32::try_from(commands).unwrap_or(i32::MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    #[test]
    fn somebody_commands_at_once_and_then_one_at_a_time_and_ends_things_all_the_same() {
        let budget = CommandBudget::default();
        let given = |who: &str, from: i64, until: i64| {
            (from..until).flat_map(|n| [n; 200]).filter(|n| budget.take(who, 1, false, at(*n)).is_ok()).count()
        };
        assert_eq!(given("user:hub/ada", 0, 5), 500);
        assert_eq!(given("user:hub/bob", 4, 5), 200, "nobody takes it from another");
        assert_eq!(given("user:hub/ada", 5, 3605), 720);
        assert_eq!(budget.take("user:hub/ada", 1, false, at(3604)), Err(TimeDelta::seconds(1)));
        let ends = (0..1000).filter(|_| budget.take("user:hub/ada", 1, true, at(3604)).is_ok()).count();
        assert_eq!(ends, 500);
        assert_eq!(given("user:hub/ada", 10_000_000, 10_000_001), 200);
    }

    #[test]
    fn what_is_given_together_is_given_whole() {
        let budget = CommandBudget::default();
        assert_eq!(budget.take("user:hub/ada", 1000, false, at(0)), Ok(()));
        assert_eq!(budget.take("user:hub/ada", 1, false, at(0)), Err(TimeDelta::seconds(2505)));
        assert_eq!(budget.take("user:hub/ada", 1, false, at(2505)), Ok(()));
    }

    #[test]
    fn those_who_wait_for_nothing_are_forgotten() {
        let budget = CommandBudget::default();
        for n in 0..3 * REMEMBERED {
            budget.take(&n.to_string(), 1, false, at(i64::try_from(n).unwrap())).unwrap();
        }
        assert!(budget.0.lock().unwrap().len() <= REMEMBERED);
    }
}
