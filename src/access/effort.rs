//! How much work a question may be: counted in rows that are looked at, bounded by whoever asks, and ended where nobody
//! waits for the answer. No clock: who asks knows the time.

use std::cell::Cell;

/// How many rows are looked at between two looks at whether the question still stands.
const BETWEEN_LOOKS: u64 = 64;

/// What a question may cost, and what it has cost so far.
pub struct Effort<'a> {
    most: u64,
    spent: Cell<u64>,
    go_on: &'a dyn Fn() -> bool,
}

/// A question was given up half way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// It depends on more than it may.
    #[error("it depends on more than {0} rows")]
    TooMuch(u64),
    /// Nobody waits for the answer.
    #[error("nobody waits for the answer")]
    Abandoned,
}

impl<'a> Effort<'a> {
    /// At most so many rows, and for as long as `go_on` says so.
    #[must_use]
    pub fn of(most: u64, go_on: &'a dyn Fn() -> bool) -> Self {
        Self { most, spent: Cell::default(), go_on }
    }

    /// Whatever it takes.
    #[must_use]
    pub fn unbounded() -> Effort<'static> {
        Effort::of(u64::MAX, &|| true)
    }

    /// How many rows were looked at.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// Counts a row.
    ///
    /// # Errors
    /// The question is given up.
    pub fn step(&self) -> Result<(), GivenUp> {
        let spent = self.spent.get();
        if spent >= self.most {
            return Err(GivenUp::TooMuch(self.most));
        }
        if spent.is_multiple_of(BETWEEN_LOOKS) {
            self.check()?;
        }
        self.spent.set(spent + 1);
        Ok(())
    }

    /// Whether the question still stands.
    ///
    /// # Errors
    /// Nobody waits for the answer.
    pub fn check(&self) -> Result<(), GivenUp> {
        if (self.go_on)() { Ok(()) } else { Err(GivenUp::Abandoned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_ends_at_its_bound_and_when_nobody_waits() {
        let effort = Effort::of(3, &|| true);
        assert!((0..3).all(|_| effort.step().is_ok()));
        assert_eq!((effort.step(), effort.spent()), (Err(GivenUp::TooMuch(3)), 3));
        assert_eq!(Effort::of(3, &|| false).step(), Err(GivenUp::Abandoned));
        let waits = Cell::new(true);
        let go_on = || waits.get();
        let effort = Effort::of(u64::MAX, &go_on);
        effort.step().unwrap();
        waits.set(false);
        let more = (0..2 * BETWEEN_LOOKS).take_while(|_| effort.step().is_ok()).count();
        assert!(u64::try_from(more).unwrap() < BETWEEN_LOOKS, "it went on for {more} rows");
    }
}

#[cfg(test)]
#[path = "effort_tests.rs"]
mod costs;
