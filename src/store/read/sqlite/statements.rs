//! Every statement that touches rows, as static text. `$1` of a set-based one is a JSON array of arrays.
//! Nothing here is put together at run time; a test prepares each.

pub(super) const CHECKPOINT: &str = "SELECT version, log_id, position FROM checkpoint WHERE projection = 'read'";
pub(super) const CHECKPOINT_BEGIN: &str =
    "INSERT INTO checkpoint (projection, version, log_id, position) VALUES ('read', $1, $2, 0)";
pub(super) const CHECKPOINT_MOVE: &str =
    "UPDATE checkpoint SET position = $2 WHERE projection = 'read' AND position = $1";
/// The planner's figures; a sample is enough.
pub(super) const ANALYZE: &str = "PRAGMA analysis_limit = 1000; ANALYZE";

/// `[noun, source, subject, to]`
pub(super) const FACTS_END: &str = "
UPDATE fact SET to_position = row.value ->> 3
FROM json_each($1) AS row
WHERE fact.noun = row.value ->> 0 AND fact.source = row.value ->> 1 AND fact.subject = row.value ->> 2
    AND fact.to_position IS NULL";
/// `[noun, source, subject, from, to, starts, ends, data]`
pub(super) const FACTS_BEGIN: &str = "
INSERT INTO fact (noun, source, subject, from_position, to_position, starts, ends, data)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
FROM json_each($1)";
/// `$1` last position, `$2` rows
pub(super) const FORGET: &str = "
UPDATE fact SET data = '{}' WHERE rowid IN (
    SELECT rowid FROM fact WHERE to_position <= $1 AND to_position IS NOT NULL AND data <> '{}' LIMIT $2
)";
/// `[source, entitlement, position]`
pub(super) const NARROW: &str = "
INSERT INTO narrowed (source, entitlement, position)
SELECT value ->> 0, value ->> 1, value ->> 2
FROM json_each($1)";
/// `[source, person, to]`
pub(super) const PERSONS_END: &str = "
UPDATE person_user SET to_position = row.value ->> 2
FROM json_each($1) AS row
WHERE person_user.source = row.value ->> 0 AND person_user.person = row.value ->> 1
    AND person_user.to_position IS NULL";
/// `[source, person, from, to, user]`
pub(super) const PERSONS_BEGIN: &str = "
INSERT INTO person_user (source, person, from_position, to_position, user_id)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM json_each($1)";
/// `[user, to]`
pub(super) const NAMES_END: &str = "
UPDATE user_name SET to_position = row.value ->> 1
FROM json_each($1) AS row
WHERE user_name.user_id = row.value ->> 0 AND user_name.to_position IS NULL";
/// `[user, from, to, name]`
pub(super) const NAMES_BEGIN: &str = "
INSERT INTO user_name (user_id, from_position, to_position, name)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3
FROM json_each($1)";
/// `[source, package, to]`
pub(super) const PROJECTS_END: &str = "
UPDATE project SET to_position = row.value ->> 2
FROM json_each($1) AS row
WHERE project.source = row.value ->> 0 AND project.package = row.value ->> 1 AND project.to_position IS NULL";
/// `[source, package, from, to, name, archived]`
pub(super) const PROJECTS_BEGIN: &str = "
INSERT INTO project (source, package, from_position, to_position, name, archived)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each($1)";
/// `[position, source, subject, effect, reason]`
pub(super) const EFFECTS: &str = "
INSERT INTO effect (position, source, subject, effect, reason)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM json_each($1)";
/// `[source, subject, position, reason]`
pub(super) const PARK: &str = "
INSERT INTO parked (source, subject, position, reason)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3
FROM json_each($1)
WHERE TRUE
ON CONFLICT (source, subject) DO UPDATE SET position = excluded.position, reason = excluded.reason";
/// `[source, subject]`
pub(super) const UNPARK: &str = "
DELETE FROM parked
WHERE (source, subject) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))";

/// `$1` a JSON array of positions; those that did not simply apply.
pub(super) const EFFECTS_AT: &str = "
SELECT position, effect, reason FROM effect WHERE position IN (SELECT value FROM json_each($1))";
/// `$1` `[source, subject]`, `$2` the last position, `$3` whether those count that competed and lost. What stands is found
/// by its noun, the first word of its subject; what is over by its subject.
pub(super) const EVENTS_OF: &str = "
SELECT fact.from_position FROM json_each($1) AS row
CROSS JOIN fact ON fact.noun = substr(row.value ->> 1, 1, instr((row.value ->> 1) || '/', '/') - 1)
    AND fact.source = row.value ->> 0 AND fact.subject = row.value ->> 1 AND fact.to_position IS NULL
WHERE fact.from_position <= $2
UNION
SELECT fact.from_position FROM json_each($1) AS row
CROSS JOIN fact ON fact.source = row.value ->> 0 AND fact.subject = row.value ->> 1 AND fact.to_position IS NOT NULL
WHERE fact.from_position <= $2
UNION
SELECT fact.to_position FROM json_each($1) AS row
CROSS JOIN fact ON fact.source = row.value ->> 0 AND fact.subject = row.value ->> 1 AND fact.to_position IS NOT NULL
WHERE fact.to_position <= $2
UNION
SELECT effect.position FROM json_each($1) AS row
CROSS JOIN effect ON effect.source = row.value ->> 0 AND effect.subject = row.value ->> 1
WHERE effect.position <= $2
    AND (effect.effect = 'applied' OR $3 AND effect.effect IN ('superseded', 'no_change'))
ORDER BY 1";
/// `$1` source, `$2` subject
pub(super) const HISTORY: &str = "
SELECT source, noun, subject, from_position, to_position, starts, ends, data FROM fact
WHERE source = $1 AND subject = $2 AND to_position IS NOT NULL
UNION ALL
SELECT source, noun, subject, from_position, to_position, starts, ends, data FROM fact
WHERE noun = substr($2, 1, instr($2 || '/', '/') - 1) AND source = $1 AND subject = $2 AND to_position IS NULL
ORDER BY from_position";
/// `$1` noun, `$2` and `$3` source and subject of the last row of the page before, `$4` limit
pub(super) const STANDING_FACTS: &str = "
SELECT source, noun, subject, from_position, to_position, starts, ends, data FROM fact
WHERE noun = $1 AND to_position IS NULL AND (source, subject) > ($2, $3)
ORDER BY source, subject
LIMIT $4";
/// `$1` and `$2` source and subject of the last row of the page before, `$3` limit
pub(super) const PARKED: &str = "
SELECT source, subject, position, reason FROM parked
WHERE (source, subject) > ($1, $2)
ORDER BY source, subject
LIMIT $3";
/// Where a slice of what was lost ends. `$1` after position, `$2` rows of the slice less one
pub(super) const SUPERSEDED_SLICE: &str = "
SELECT position FROM effect WHERE effect = 'superseded' AND position > $1 ORDER BY position LIMIT 1 OFFSET $2";
/// `$1` after position, `$2` last position
pub(super) const SUPERSEDED: &str = "
SELECT lost.position, lost.source, lost.subject,
    (SELECT max(at) FROM (
        SELECT max(from_position) AS at FROM fact
        WHERE noun = substr(lost.subject, 1, instr(lost.subject || '/', '/') - 1) AND source = lost.source
            AND subject = lost.subject AND to_position IS NULL AND from_position < lost.position
        UNION ALL
        SELECT max(from_position) FROM fact
        WHERE source = lost.source AND subject = lost.subject AND to_position IS NOT NULL
            AND from_position < lost.position
        UNION ALL
        SELECT max(to_position) FROM fact
        WHERE source = lost.source AND subject = lost.subject AND to_position IS NOT NULL
            AND to_position < lost.position
        UNION ALL
        SELECT max(position) FROM effect AS won
        WHERE won.source = lost.source AND won.subject = lost.subject AND won.position < lost.position
            AND won.effect = 'applied'
    )) AS won_by
FROM effect AS lost
WHERE lost.effect = 'superseded' AND lost.position > $1 AND lost.position <= $2
    AND NOT EXISTS (
        SELECT 1 FROM effect AS later
        WHERE later.source = lost.source AND later.subject = lost.subject AND later.position > lost.position)
    AND NOT EXISTS (
        SELECT 1 FROM fact AS later
        WHERE later.noun = substr(lost.subject, 1, instr(lost.subject || '/', '/') - 1) AND later.source = lost.source
            AND later.subject = lost.subject AND later.to_position IS NULL AND later.from_position > lost.position)
    AND NOT EXISTS (
        SELECT 1 FROM fact AS later
        WHERE later.source = lost.source AND later.subject = lost.subject AND later.to_position IS NOT NULL
            AND later.to_position > lost.position)
ORDER BY lost.position";
pub(super) const PARKED_COUNT: &str = "SELECT count(*) FROM parked";
/// `$1` source, `$2` package
pub(super) const PROJECT_HISTORY: &str = "
SELECT source, package, name, archived, from_position, to_position FROM project
WHERE source = $1 AND package = $2
ORDER BY from_position";
/// `$1` instant, microseconds; `$2` project or null
pub(super) const MEMBERSHIPS: &str = "
SELECT user_id, user_name, project, role, rule, name, source, person, account, package, entitlement, line, product, since,
    ends
FROM standing
WHERE coalesce(starts <= $1, TRUE) AND coalesce(ends > $1, TRUE) AND ($2 IS NULL OR project = $2)
ORDER BY user_name, project, role, rule, name, source, person, package";

/// `$1` instant, microseconds; one line per user, project, role and named reason, as `membership_digest` of the roster
/// writes them.
pub(super) const LINES: &str = "
SELECT DISTINCT
    user_id || char(9) || project || char(9) || role || char(9) || rule || ':' || name || char(10) AS line
FROM standing
WHERE coalesce(starts <= $1, TRUE) AND coalesce(ends > $1, TRUE)";

#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    CHECKPOINT,
    CHECKPOINT_BEGIN,
    CHECKPOINT_MOVE,
    FACTS_END,
    FACTS_BEGIN,
    FORGET,
    NARROW,
    PERSONS_END,
    PERSONS_BEGIN,
    NAMES_END,
    NAMES_BEGIN,
    PROJECTS_END,
    PROJECTS_BEGIN,
    EFFECTS,
    PARK,
    UNPARK,
    EFFECTS_AT,
    EVENTS_OF,
    HISTORY,
    STANDING_FACTS,
    PARKED,
    SUPERSEDED_SLICE,
    SUPERSEDED,
    PARKED_COUNT,
    PROJECT_HISTORY,
    MEMBERSHIPS,
    LINES,
];
