//! A follower's removals within a window of time: whether they come in numbers. Pure; the time is given.
//!
//! Counted by kind, and memberships by group: whoever makes noise in one group or with groups holds back nothing of
//! another one, and no person. What came within the window counts neither as a fact nor as a removal.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::guard::{MAX_SHARE, MIN_REMOVALS};

/// How long a removal counts.
pub const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// What a subject is counted with: the beginning that all of its kind share, or all members of its group.
pub fn class_of(subject: &str) -> &str {
    let slash = if subject.starts_with("member/") { 1 } else { 0 };
    subject.match_indices('/').nth(slash).and_then(|(at, _)| subject.get(..=at)).unwrap_or(subject)
}

/// What was removed of a source by its follower, and what waits for a full read.
#[derive(Debug, Default)]
pub struct RemovalWindow {
    classes: BTreeMap<String, Class>,
    /// Since when what waits. Kept until it has ended or is stated again.
    waiting: BTreeMap<String, DateTime<Utc>>,
}

/// What is counted together.
#[derive(Debug, Default)]
struct Class {
    removed: BTreeMap<String, Removal>,
    /// What came within the window and is there.
    added: BTreeMap<String, DateTime<Utc>>,
    /// How many stood when the window began.
    stood: Option<u64>,
    /// Whether any of the removals had to wait.
    some_wait: bool,
    /// How many were let go after others of the window had to wait.
    let_go_since: u64,
}

#[derive(Debug)]
struct Removal {
    at: DateTime<Utc>,
    waits: bool,
}

impl RemovalWindow {
    /// Forgets what is too long ago to count.
    pub fn advance(&mut self, now: DateTime<Utc>) {
        let counts = |at: DateTime<Utc>| now - at < WINDOW;
        for class in self.classes.values_mut() {
            class.added.retain(|_, at| counts(*at));
            class.removed.retain(|_, removal| counts(removal.at));
            if class.removed.is_empty() {
                class.stood = None;
            }
            class.some_wait = class.removed.values().any(|removal| removal.waits);
            if !class.some_wait {
                class.let_go_since = 0;
            }
        }
        self.classes.retain(|_, class| !(class.added.is_empty() && class.removed.is_empty()));
    }

    /// A subject is stated. `new`: it was not there.
    pub fn note_stated(&mut self, subject: &str, new: bool, now: DateTime<Utc>) {
        self.waiting.remove(subject);
        let class = self.classes.get_mut(class_of(subject));
        let stood = class.is_some_and(|class| class.removed.remove(subject).is_some());
        if new && !stood {
            self.classes.entry(class_of(subject).to_owned()).or_default().added.insert(subject.to_owned(), now);
        }
    }

    /// Whether it must be known how many facts of a class are there, to judge these removals of it.
    pub fn needs_count(&self, class: &str, subjects: &[&str]) -> bool {
        match self.classes.get(class) {
            Some(class) => class.stood.is_none() && class.counted(subjects) >= MIN_REMOVALS,
            None => subjects.len() as u64 >= MIN_REMOVALS,
        }
    }

    /// How many facts of a class are there now.
    pub fn count(&mut self, class: &str, present: u64) {
        let class = self.classes.entry(class.to_owned()).or_default();
        let gone = class.removed.values().filter(|removal| !removal.waits).count() as u64;
        class.stood = Some((present + gone).saturating_sub(class.added.len() as u64));
    }

    /// Which of these removals of a class must wait. `unread`: others wait, and no full read has seen them yet; after
    /// one has, fewer than twenty more go at once.
    pub fn must_wait<'a>(&self, class: &str, subjects: &[&'a str], unread: bool) -> Vec<&'a str> {
        let none = Class::default();
        let class = self.classes.get(class).unwrap_or(&none);
        let waits = |subject: &&&str| class.removed.get(**subject).is_some_and(|removal| removal.waits);
        let counted = class.counted(subjects);
        let many = counted >= MIN_REMOVALS && counted.saturating_mul(MAX_SHARE) > class.stood.unwrap_or_default();
        let more = subjects.iter().filter(|subject| !waits(subject) && !class.added.contains_key(**subject));
        let few = class.some_wait && !unread && class.let_go_since + (more.clone().count() as u64) < MIN_REMOVALS;
        let more: Vec<&str> = if many && !few { more.copied().collect() } else { Vec::new() };
        subjects.iter().filter(waits).copied().chain(more).collect()
    }

    /// How many members of a group came within the window.
    pub fn newcomers(&self, class: &str) -> u64 {
        self.classes.get(class).map_or(0, |class| class.added.len() as u64)
    }

    /// A removal was recorded, or waits.
    pub fn note_removed(&mut self, subject: &str, waits: bool, now: DateTime<Utc>) {
        let class = self.classes.entry(class_of(subject).to_owned()).or_default();
        if waits {
            self.waiting.entry(subject.to_owned()).or_insert(now);
        } else {
            self.waiting.remove(subject);
            if class.added.remove(subject).is_some() {
                return;
            }
            if class.some_wait {
                class.let_go_since += 1;
            }
        }
        class.some_wait |= waits;
        class.removed.entry(subject.to_owned()).or_insert(Removal { at: now, waits }).waits = waits;
    }

    /// What waits.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.keys().map(String::as_str)
    }

    /// Whether a subject waits, however long ago it was told to be gone.
    pub fn is_waiting(&self, subject: &str) -> bool {
        self.waiting.contains_key(subject)
    }

    /// Whether a subject waits and still counts: a full read does not let it go either.
    pub fn counts(&self, subject: &str, now: DateTime<Utc>) -> bool {
        self.waiting.get(subject).is_some_and(|at| now - *at < WINDOW)
    }

    /// Only these still wait: the others have ended.
    pub fn retain_waiting(&mut self, is_there: impl Fn(&str) -> bool) {
        self.waiting.retain(|subject, _| is_there(subject));
    }
}

impl Class {
    /// The removals of the window with these.
    fn counted(&self, subjects: &[&str]) -> u64 {
        let new = |subject: &&&str| !self.removed.contains_key(**subject) && !self.added.contains_key(**subject);
        (self.removed.len() + subjects.iter().filter(new).count()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    /// People by number leave in one batch. Gives how many of them had to wait.
    fn leave(window: &mut RemovalWindow, who: std::ops::Range<u64>, present: u64, unread: bool, now: i64) -> usize {
        window.advance(at(now));
        let subjects: Vec<String> = who.map(|n| format!("person/p{n}")).collect();
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        if window.needs_count("person/", &subjects) {
            window.count("person/", present);
        }
        let waiting = window.must_wait("person/", &subjects, unread);
        subjects.iter().for_each(|subject| window.note_removed(subject, waiting.contains(subject), at(now)));
        waiting.len()
    }

    #[test]
    fn memberships_are_counted_by_group_and_everything_else_by_kind() {
        for (subject, class) in
            [("member/ops/person/ada", "member/ops/"), ("person/ada", "person/"), ("group/ops", "group/"), ("x", "x")]
        {
            assert_eq!(class_of(subject), class);
        }
    }

    #[test]
    fn what_comes_in_parts_is_added_up_until_the_window_is_over() {
        let mut window = RemovalWindow::default();
        assert_eq!(leave(&mut window, 0..10, 100, false, 0), 0);
        assert_eq!(leave(&mut window, 10..20, 90, false, 300), 0, "a fifth goes at once");
        assert_eq!(leave(&mut window, 20..30, 80, false, 599), 10);
        let mut later = RemovalWindow::default();
        assert_eq!(leave(&mut later, 0..20, 100, false, 0), 0);
        assert_eq!(leave(&mut later, 20..30, 80, false, 600), 0, "the first ones count no more");
    }

    #[test]
    fn one_who_leaves_after_a_read_has_seen_those_that_wait_goes_at_once_and_many_do_not() {
        let mut window = RemovalWindow::default();
        assert_eq!(leave(&mut window, 0..60, 100, false, 0), 60);
        assert_eq!(leave(&mut window, 60..61, 100, true, 1), 1, "it may be one of those");
        assert_eq!(leave(&mut window, 61..62, 100, false, 2), 0);
        assert_eq!(leave(&mut window, 0..60, 100, false, 2), 60, "told again they wait again");
        assert_eq!(leave(&mut window, 62..80, 99, false, 3), 0);
        assert_eq!(leave(&mut window, 80..81, 81, false, 4), 1, "the twentieth waits");
    }

    #[test]
    fn what_came_within_the_window_counts_neither_as_a_fact_nor_as_a_removal() {
        let mut window = RemovalWindow::default();
        (0..500).for_each(|n| window.note_stated(&format!("person/p{n}"), true, at(0)));
        assert_eq!(leave(&mut window, 0..500, 600, false, 1), 0);
        assert_eq!(leave(&mut window, 500..519, 100, false, 2), 0);
        assert_eq!(leave(&mut window, 519..521, 81, false, 3), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_ends_of_groups_and_memberships_fewer_than_twenty_people_go_at_once(
            noise in proptest::collection::vec((0..4_u64, 0..60_u64, any::<bool>()), 0..300), people in 1..20_u64
        ) {
            let mut window = RemovalWindow::default();
            for (group, n, comes) in noise {
                let subject = if group == 0 { format!("group/g{n}") } else { format!("member/g{group}/person/p{n}") };
                let class = class_of(&subject);
                if comes {
                    window.note_stated(&subject, true, at(0));
                    continue;
                }
                if window.needs_count(class, &[&subject]) {
                    window.count(class, 0);
                }
                let waits = !window.must_wait(class, &[&subject], true).is_empty();
                window.note_removed(&subject, waits, at(0));
            }
            prop_assert_eq!(leave(&mut window, 0..people, people, true, 1), 0);
        }

        #[test]
        fn however_it_is_cut_into_batches_no_more_than_the_measure_goes_unasked(
            stood in 0..400_u64, batches in proptest::collection::vec(1..60_u64, 1..40)
        ) {
            let (mut window, mut from, mut gone) = (RemovalWindow::default(), 0, 0);
            for many in batches {
                let who = from..(from + many).min(stood);
                if who.is_empty() {
                    break;
                }
                let waits = leave(&mut window, who.clone(), stood - gone, true, 1) as u64;
                gone += (who.end - who.start) - waits;
                from = who.end;
            }
            prop_assert!(gone < MIN_REMOVALS || gone * MAX_SHARE <= stood, "{gone} of {stood}");
        }
    }
}
