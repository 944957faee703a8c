//! The removal guard: whether what a read concluded from silence is too much to believe without asking a person.
//! Pure numbers; knows no source and no log.

use std::fmt;

/// Removals below this number are never too many by their share.
pub const MIN_REMOVALS: u64 = 20;
/// More than one in so many facts is too many.
pub const MAX_SHARE: u64 = 5;
/// A group or project with so many members or more is not emptied.
pub const MIN_PROTECTED: u64 = 5;
/// How many of those that would be emptied are named.
const MAX_NAMED: usize = 5;

/// What a read would do to the facts of its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// How many facts stand now.
    pub facts: u64,
    /// How many would end.
    pub removals: u64,
    /// How many the source stated or said to be as they were.
    pub stated: u64,
    /// Groups that would lose members: name, members now, members then.
    pub groups: Vec<(String, u64, u64)>,
    /// Projects that have a crowd of members and would have none.
    pub projects: Vec<String>,
}

/// Why removals are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldReason {
    /// The answer was complete, good and empty.
    Empty {
        /// How many facts stand.
        facts: u64,
    },
    /// Too large a part.
    Share {
        /// How many would end.
        removals: u64,
        /// Of how many.
        facts: u64,
    },
    /// Groups or projects would be emptied, by these names.
    Emptied(Vec<String>),
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { facts } => write!(f, "the source answered with nothing, and {facts} facts of it stand"),
            Self::Share { removals, facts } => {
                write!(f, "{removals} of its {facts} facts would end, more than one in {MAX_SHARE}")
            }
            Self::Emptied(names) => {
                let more = names.len().saturating_sub(MAX_NAMED);
                let named: Vec<&str> = names.iter().take(MAX_NAMED).map(String::as_str).collect();
                write!(f, "{}", named.join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                f.write_str(" would be emptied")
            }
        }
    }
}

/// Whether removals must be held, and why.
#[must_use]
pub fn hold_reason(impact: &Impact) -> Option<HoldReason> {
    let Impact { facts, removals, stated, groups, projects } = impact;
    if *removals == 0 {
        return None;
    }
    if *stated == 0 {
        return Some(HoldReason::Empty { facts: *facts });
    }
    if *removals >= MIN_REMOVALS && removals.saturating_mul(MAX_SHARE) > *facts {
        return Some(HoldReason::Share { removals: *removals, facts: *facts });
    }
    let emptied = groups.iter().filter(|(_, now, then)| *now >= MIN_PROTECTED && *then == 0);
    let emptied: Vec<String> = emptied
        .map(|(name, ..)| name.clone())
        .chain(projects.iter().map(|name| format!("the project {name}")))
        .collect();
    (!emptied.is_empty()).then_some(HoldReason::Emptied(emptied))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(facts: u64, removals: u64, stated: u64, group: Option<(u64, u64)>) -> bool {
        let groups = group.map(|(now, then)| ("ops".to_owned(), now, then)).into_iter().collect();
        hold_reason(&Impact { facts, removals, stated, groups, projects: Vec::new() }).is_some()
    }

    #[test]
    fn what_would_be_emptied_is_named_and_much_of_it_is_counted() {
        let impact = |projects: usize| Impact {
            facts: 100,
            removals: 5,
            stated: 95,
            groups: vec![("the group ops".to_owned(), 5, 0)],
            projects: (0..projects).map(|n| format!("p{n}")).collect(),
        };
        let text = |projects| hold_reason(&impact(projects)).unwrap().to_string();
        assert_eq!(text(0), "the group ops would be emptied");
        assert_eq!(text(1), "the group ops, the project p0 would be emptied");
        assert!(text(9).ends_with("the project p3 and 5 more would be emptied"), "{}", text(9));
        let none_gone = Impact { removals: 0, ..impact(1) };
        assert_eq!(hold_reason(&none_gone), None, "what nobody takes away is not held");
    }

    #[test]
    fn removals_are_held_from_a_fifth_and_twenty_on_not_before() {
        for (facts, removals, expected) in [
            (100, 0, false),
            (100, 20, false),
            (100, 21, true),
            (99, 20, true),
            (50, 19, false),
            (20, 19, false),
            (1000, 200, false),
            (1000, 201, true),
        ] {
            assert_eq!(held(facts, removals, 1, None), expected, "{removals} of {facts}");
        }
    }

    #[test]
    fn a_group_of_five_is_not_emptied_and_a_smaller_one_is() {
        for (now, then, expected) in [(5, 0, true), (5, 1, false), (4, 0, false), (500, 0, true)] {
            assert_eq!(held(10_000, 5, 1, Some((now, then))), expected, "{now} to {then}");
        }
    }

    #[test]
    fn an_empty_answer_is_held_whatever_the_numbers() {
        assert!(held(1, 1, 0, None));
        assert!(!held(0, 0, 0, None), "a source that never said anything and says nothing is well");
    }
}
