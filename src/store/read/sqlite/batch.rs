//! A batch of folded events as sets of rows: one JSON text per statement, what begins and ends inside the batch resolved.
//! Pure; knows what a change means to a row, touches no database.

use std::{collections::HashMap, hash::Hash};

use chrono::{DateTime, Utc};
use rollcall_access::{Change, Effect, Folded};
use serde::{Deserialize, Serialize};

use super::{file::number, statements as sql};

/// The rows of one table with a history: at most one open row per key.
struct Histories<K, V> {
    /// Whether the key's newest row of this batch is open, and where it is.
    newest: HashMap<K, Option<usize>>,
    /// Keys whose row of before this batch ends, and where.
    ended: Vec<(K, i64)>,
    rows: Vec<HistoryRow<K, V>>,
}

/// Key, from, to, what it says.
type HistoryRow<K, V> = (K, i64, Option<i64>, V);

impl<K, V> Default for Histories<K, V> {
    fn default() -> Self {
        Self { newest: HashMap::new(), ended: Vec::new(), rows: Vec::new() }
    }
}

impl<K: Hash + Eq + Copy, V> Histories<K, V> {
    fn end(&mut self, key: K, at: i64) {
        match self.newest.insert(key, None) {
            None => self.ended.push((key, at)),
            Some(None) => {}
            Some(Some(row)) => {
                if let Some((_, _, to, _)) = self.rows.get_mut(row) {
                    *to = Some(at);
                }
            }
        }
    }

    fn begin(&mut self, key: K, at: i64, value: V) {
        // One event may state the same thing twice (a user merged and named again): its last word counts.
        if let Some((_, from, to, stated)) =
            self.newest.get(&key).copied().flatten().and_then(|row| self.rows.get_mut(row))
            && (*from, *to) == (at, None)
        {
            *stated = value;
            return;
        }
        self.end(key, at);
        self.newest.insert(key, Some(self.rows.len()));
        self.rows.push((key, at, None, value));
    }
}

/// Starts, ends, data.
type FactValue<'a> = (Option<i64>, Option<i64>, &'a str);

/// A batch, ready to be written.
#[derive(Default)]
pub(super) struct Batch<'a> {
    facts: Histories<(&'a str, &'a str), FactValue<'a>>,
    persons: Histories<(&'a str, &'a str), &'a str>,
    names: Histories<(&'a str,), &'a str>,
    projects: Histories<(&'a str, &'a str), (&'a str, bool)>,
    narrowed: Vec<(&'a str, &'a str, i64)>,
    effects: Vec<(i64, &'a str, &'a str, &'static str, Option<&'a str>)>,
    parked: HashMap<(&'a str, &'a str), Option<(i64, &'a str)>>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(batch: &'a [Folded]) -> Self {
        let mut all = Self::default();
        for Folded { position, source, subject, effect, changes } in batch {
            let at = number(*position);
            let own = |change: &Change| match change {
                Change::FactBegan { source: of, subject: about, .. }
                | Change::FactEnded { source: of, subject: about } => of == source && about == subject,
                _ => false,
            };
            if *effect != Effect::Applied || !changes.iter().any(own) {
                all.effects.push((at, source.as_str(), subject, effect.as_str(), effect.reason()));
            }
            for change in changes {
                all.add(at, change);
            }
        }
        all
    }

    fn add(&mut self, at: i64, change: &'a Change) {
        match change {
            Change::FactBegan { source, noun, subject, data } => {
                let (starts, ends) = window(noun, data);
                self.facts.begin((source.as_str(), subject), at, (starts, ends, data));
            }
            Change::FactEnded { source, subject } => self.facts.end((source.as_str(), subject), at),
            Change::Narrowed { source, entitlement } => self.narrowed.push((source.as_str(), entitlement, at)),
            Change::PersonIs { source, person, user } => self.persons.begin((source.as_str(), person), at, user),
            Change::UserNamed { user, name } => self.names.begin((user,), at, name),
            Change::ProjectNamed { source, package, name, archived } => {
                self.projects.begin((source.as_str(), package), at, (name, *archived));
            }
            Change::Parked { source, subject, reason } => {
                self.parked.insert((source.as_str(), subject), reason.as_deref().map(|reason| (at, reason)));
            }
        }
    }

    /// The statements that have something to do, each with its rows.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&'static str, String)> {
        let noun = |subject: &'a str| subject.split('/').next().unwrap_or_default();
        let parks = self.parked.iter();
        [
            (
                sql::FACTS_END,
                rows(self.facts.ended.iter().map(|((source, subject), to)| (noun(subject), source, subject, to))),
            ),
            (
                sql::FACTS_BEGIN,
                rows(self.facts.rows.iter().map(|((source, subject), from, to, (starts, ends, data))| {
                    (noun(subject), source, subject, from, to, starts, ends, data)
                })),
            ),
            (sql::NARROW, rows(self.narrowed.iter())),
            (sql::PERSONS_END, rows(self.persons.ended.iter().map(|((source, person), to)| (source, person, to)))),
            (
                sql::PERSONS_BEGIN,
                rows(
                    self.persons.rows.iter().map(|((source, person), from, to, user)| (source, person, from, to, user)),
                ),
            ),
            (sql::NAMES_END, rows(self.names.ended.iter().map(|((user,), to)| (user, to)))),
            (sql::NAMES_BEGIN, rows(self.names.rows.iter().map(|((user,), from, to, name)| (user, from, to, name)))),
            (sql::PROJECTS_END, rows(self.projects.ended.iter().map(|((source, package), to)| (source, package, to)))),
            (
                sql::PROJECTS_BEGIN,
                rows(self.projects.rows.iter().map(|((source, package), from, to, (name, archived))| {
                    (source, package, from, to, name, i64::from(*archived))
                })),
            ),
            (sql::EFFECTS, rows(self.effects.iter())),
            (sql::UNPARK, rows(parks.clone().filter(|(_, mark)| mark.is_none()).map(|(subject, _)| subject))),
            (
                sql::PARK,
                rows(
                    parks
                        .filter_map(|((source, subject), mark)| mark.map(|(at, reason)| (source, subject, at, reason))),
                ),
            ),
        ]
        .into_iter()
        .filter(|(_, rows)| rows != "[]")
    }
}

fn rows<T: Serialize>(rows: impl Iterator<Item = T>) -> String {
    let mut text = Vec::from(b"[");
    for row in rows {
        if text.len() > 1 {
            text.push(b',');
        }
        // Text and numbers into memory: this cannot fail.
        let _ = serde_json::to_writer(&mut text, &row);
    }
    text.push(b']');
    String::from_utf8(text).unwrap_or_default()
}

/// The window that the data of a fact states, in microseconds.
fn window(noun: &str, data: &str) -> (Option<i64>, Option<i64>) {
    #[derive(Default, Deserialize)]
    struct Window {
        #[serde(default, alias = "effective_from")]
        starts: Option<DateTime<Utc>>,
        #[serde(default, alias = "effective_until", alias = "expires")]
        ends: Option<DateTime<Utc>>,
    }
    if !matches!(noun, "line" | "package" | "binding" | "secret" | "service") {
        return (None, None);
    }
    let Window { starts, ends } = serde_json::from_str(data).unwrap_or_default();
    (starts.map(|at| at.timestamp_micros()), ends.map(|at| at.timestamp_micros()))
}
