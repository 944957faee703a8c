//! Every statement about sources that are asked. Sets go in as one JSON array; a test prepares each.

pub(super) const BASELINE_STATE: &str =
    "SELECT log, position, epoch, scope, open FROM baseline_state WHERE source = $1";
pub(super) const FORGET_BASELINE: &str = "DELETE FROM baseline WHERE source = $1";
pub(super) const FORGET_BASELINE_STATE: &str = "DELETE FROM baseline_state WHERE source = $1";
pub(super) const FOLD_BASELINE_STATE: &str = "
INSERT INTO baseline_state (source, log, position, epoch, scope, open) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (source) DO UPDATE SET log = excluded.log, position = excluded.position, epoch = excluded.epoch,
  scope = excluded.scope, open = excluded.open";
/// $1: source, $2: subjects, $3: their entries, 25 bytes each, in the same order.
pub(super) const FOLD_ENTRIES: &str = "
INSERT INTO baseline (source, subject, entry)
SELECT $1, value, substr($3, key * 25 + 1, 25) FROM json_each($2) WHERE true
ON CONFLICT (source, subject) DO UPDATE SET entry = excluded.entry";
/// A page behind $2 in one row, a line each: handing single rows out costs more than finding them. $3: how many.
pub(super) const BASELINE_PAGE: &str = "
SELECT max(subject) AS last, group_concat(hex(entry) || subject, char(10)) AS lines
FROM (SELECT subject, entry FROM baseline WHERE source = $1 AND subject > $2 ORDER BY subject LIMIT $3)";
/// `CROSS JOIN` has SQLite look each one up; left to choose, it goes through everything that the source said.
pub(super) const BASELINE_SUBJECTS: &str = "
SELECT baseline.subject, baseline.entry FROM json_each($2) AS wanted
CROSS JOIN baseline ON baseline.source = $1 AND baseline.subject = wanted.value";
/// $2: what subjects begin with, each with the first text behind all of them.
pub(super) const BASELINE_PREFIXES: &str = "
SELECT baseline.subject, baseline.entry FROM json_each($2) AS wanted
CROSS JOIN baseline ON baseline.source = $1 AND baseline.subject >= wanted.value ->> 'from' AND baseline.subject < wanted.value ->> 'to'";

/// A plan that waits takes the place of any other of its source; one that was asked for only that of another such.
pub(super) const SUPERSEDE_PLANS: &str = "
UPDATE plan SET state = 'superseded', closed_at = $3
WHERE source = $1 AND state = 'open' AND ($2 <> 'asked' OR why = 'asked')";
pub(super) const INSERT_PLAN: &str = "
INSERT INTO plan (id, source, made_at, position, why, reason, state, facts, additions, changes, removals,
  removals_digest, rows_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
/// $1: plan, $2: rows in order.
pub(super) const INSERT_PLAN_ROWS: &str = "
INSERT INTO plan_row (plan, idx, verb, type, subject, data, was, text)
SELECT $1, key, value ->> 'verb', value ->> 'type', value ->> 'subject', value ->> 'data', value ->> 'was', value ->> 'text'
FROM json_each($2)";
macro_rules! plans {
    ($where:literal) => {
        concat!(
            "SELECT id, source, made_at, position, why, reason, state, facts, additions, changes, removals,
                    removals_digest, rows_digest, closed_at, closed_by FROM plan WHERE ",
            $where
        )
    };
}
pub(super) const FIND_PLAN: &str = plans!("id = $1");
pub(super) const HELD_PLAN: &str = plans!("source = $1 AND state = 'open' AND why <> 'asked' ORDER BY id DESC LIMIT 1");
pub(super) const LIST_PLANS: &str = plans!("id < $1 ORDER BY id DESC LIMIT $2");
pub(super) const LIST_PLANS_OF: &str = plans!("source = $3 AND id < $1 ORDER BY id DESC LIMIT $2");
pub(super) const PLAN_ROWS: &str = "
SELECT idx, verb, type, subject, data, was, text FROM plan_row WHERE plan = $1 AND idx > $2 ORDER BY idx LIMIT $3";
pub(super) const CLOSE_PLAN: &str = "
UPDATE plan SET state = $2, closed_at = $3, closed_by = $4 WHERE id = $1 AND state = 'open'";
/// $1: the first id that stays. One that was only asked for waits for nobody.
pub(super) const PRUNE_PLANS: &str = "
DELETE FROM plan WHERE id IN
  (SELECT id FROM plan WHERE id < $1 AND (state <> 'open' OR why = 'asked') ORDER BY id LIMIT 10)";

macro_rules! source_statuses {
    ($where:literal) => {
        concat!(
            "SELECT source, state, reason, checked_at, sealed_at, applied, facts, failures, absent, excluded, full_read_at,
                    full_read_reason, outside FROM source_status ",
            $where
        )
    };
}
pub(super) const SOURCE_STATUS: &str = source_statuses!("WHERE source = $1");
pub(super) const SOURCE_STATUSES: &str = source_statuses!("ORDER BY source");
pub(super) const SAVE_STATUS: &str = "
INSERT INTO source_status (source, state, reason, checked_at, sealed_at, applied, facts, failures, absent, excluded,
  full_read_at, full_read_reason, outside)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (source) DO UPDATE SET state = excluded.state, reason = excluded.reason, checked_at = excluded.checked_at,
  sealed_at = excluded.sealed_at, applied = excluded.applied, facts = excluded.facts, failures = excluded.failures,
  absent = excluded.absent, excluded = excluded.excluded, full_read_at = excluded.full_read_at, full_read_reason = excluded.full_read_reason,
  outside = excluded.outside";

pub(super) const SAVED_CURSOR: &str = "SELECT log, scope, position, cursor FROM saved_cursor WHERE source = $1";
pub(super) const SAVE_CURSOR: &str = "
INSERT INTO saved_cursor (source, log, scope, position, cursor) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source) DO UPDATE SET log = excluded.log, scope = excluded.scope, position = excluded.position,
  cursor = excluded.cursor";
pub(super) const DELETE_CURSOR: &str = "DELETE FROM saved_cursor WHERE source = $1";
pub(super) const STATE_ENTRIES: &str = "SELECT key, value FROM sync_state_entry WHERE source = $1";
/// $2: notes, their values in hexadecimal.
pub(super) const SAVE_STATE_ENTRIES: &str = "
INSERT INTO sync_state_entry (source, key, value) SELECT $1, value ->> 'key', unhex(value ->> 'value')
FROM json_each($2) WHERE true
ON CONFLICT (source, key) DO UPDATE SET value = excluded.value";
/// $2: keys.
pub(super) const DELETE_STATE_ENTRIES: &str = "
DELETE FROM sync_state_entry WHERE source = $1 AND key IN (SELECT value FROM json_each($2))";
pub(super) const CLEAR_STATE_ENTRIES: &str = "DELETE FROM sync_state_entry WHERE source = $1";
/// As [`BASELINE_PAGE`].
pub(super) const NAMES_PAGE: &str = "
SELECT max(person) AS last, json_group_array(json_array(person, email, name)) AS names
FROM (SELECT person, email, name FROM personal WHERE source = $1 AND person > $2 ORDER BY person LIMIT $3)";
pub(super) const NAMES: &str = "
SELECT personal.person, personal.email, personal.name FROM json_each($2) AS wanted
CROSS JOIN personal ON personal.source = $1 AND personal.person = wanted.value";
