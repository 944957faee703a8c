//! Every statement of the ops store. Sets go in as one JSON array; a test prepares each against the migrations.

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
/// Enough where the log's own fsync carries the promise: survives the process, not the machine.
pub(super) const SYNC_NORMAL: &str = "PRAGMA synchronous = NORMAL";
/// Every commit is synced, and with it all that was only written before: it is one file.
pub(super) const SYNC_FULL: &str = "PRAGMA synchronous = FULL";

/// $1: rows without bodies, $2: all bodies one after the other.
pub(super) const INSERT_DELIVERIES: &str = "
INSERT INTO delivery (id, source, received_at, client, headers, body, bytes, verdict, reason, notification, digest,
                      signed_at, first, first_received_at, first_signed_at, first_refused)
SELECT value ->> 'id', value ->> 'source', value ->> 'at', value ->> 'client', value ->> 'headers',
       coalesce(substr($2, (value ->> 'from') + 1, value ->> 'len'), x''), value ->> 'bytes', value ->> 'verdict', value ->> 'reason',
       value ->> 'notification', value ->> 'digest', value ->> 'signed_at',
       value ->> 'first', value ->> 'first_received_at', value ->> 'first_signed_at', value ->> 'first_refused'
FROM json_each($1)";

pub(super) const INSERT_PARTS: &str = "
INSERT INTO part (delivery, idx, event_id, type, subject, outcome, position, problem, pointer, detail)
SELECT value ->> 'delivery', value ->> 'idx', value ->> 'id', value ->> 'type', value ->> 'subject',
       value ->> 'outcome', value ->> 'position', value ->> 'problem', value ->> 'pointer', value ->> 'detail'
FROM json_each($1)";

/// A late delivery does not bring an old address back.
pub(super) const UPSERT_PERSONAL: &str = "
INSERT INTO personal (source, person, email, name, order_key)
SELECT value ->> 'source', value ->> 'person', value ->> 'email', value ->> 'name', value ->> 'order_key'
FROM json_each($1) WHERE true
ON CONFLICT (source, person) DO UPDATE
SET email = excluded.email, name = excluded.name, order_key = excluded.order_key
WHERE excluded.order_key >= personal.order_key";

pub(super) const SETTLE_DELIVERIES: &str = "
UPDATE delivery SET verdict = new.verdict
FROM (SELECT value ->> 'id' AS id, value ->> 'verdict' AS verdict FROM json_each($1)) AS new
WHERE delivery.id = new.id";

pub(super) const SETTLE_PARTS: &str = "
UPDATE part SET outcome = new.outcome, position = new.position
FROM (SELECT value ->> 'delivery' AS delivery, value ->> 'idx' AS idx, value ->> 'outcome' AS outcome,
             value ->> 'position' AS position FROM json_each($1)) AS new
WHERE part.delivery = new.delivery AND part.idx = new.idx";

/// What was not recorded is said right where the log takes an event of the same source and id. What is open is found by
/// the ids that were taken: a cross join keeps this order, which it would not in `UPDATE .. FROM`. So whatever is open costs
/// nobody who says something else.
pub(super) const CLOSE_PARTS: &str = "
INSERT INTO part (delivery, idx, outcome, recorded_in)
SELECT open.delivery, open.idx, open.outcome, said.delivery
FROM json_each($1) CROSS JOIN part AS said ON said.delivery = value ->> 'delivery' AND said.idx = value ->> 'idx'
CROSS JOIN part AS open ON open.event_id = said.event_id
  AND open.outcome IN ('quarantined', 'unrecorded') AND open.recorded_in IS NULL
WHERE value ->> 'outcome' IN ('recorded', 'duplicate')
  AND (SELECT source FROM delivery WHERE delivery.id = open.delivery)
    = (SELECT source FROM delivery WHERE delivery.id = said.delivery)
ON CONFLICT (delivery, idx) DO UPDATE SET recorded_in = excluded.recorded_in";

/// The oldest rejected ones of a source beyond $2 in number or $3 in bytes, and of one client of it beyond $4 and $5: a
/// client pushes its own out first.
pub(super) const TRIM_REJECTED: &str = "
DELETE FROM delivery WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER newest AS nth, sum(coalesce(length(body), 0)) OVER newest AS total,
           row_number() OVER own AS own_nth, sum(coalesce(length(body), 0)) OVER own AS own_total
    FROM delivery WHERE source = $1 AND verdict = 'rejected'
    WINDOW newest AS (ORDER BY id DESC), own AS (PARTITION BY client ORDER BY id DESC))
  WHERE nth > $2 OR total > $3 OR own_nth > $4 OR own_total > $5)";

/// What is open: a delivery of which all was said right since waits for nobody, and nobody can dismiss it.
pub(super) const QUARANTINE_OF: &str = "
SELECT count(*) AS deliveries, coalesce(sum(bytes), 0) AS bytes FROM delivery
WHERE source = $1 AND verdict = 'quarantined' AND dismissed_at IS NULL AND EXISTS (
  SELECT 1 FROM part WHERE part.delivery = delivery.id
  AND part.outcome IN ('quarantined', 'conflict', 'unrecorded') AND part.outcome = 'quarantined' AND recorded_in IS NULL)";

pub(super) const NOTE_REPLAY: &str = "
INSERT INTO replay (delivery, at, was) SELECT id, $2, verdict FROM delivery WHERE id = $1";
pub(super) const DROP_PARTS: &str = "DELETE FROM part WHERE delivery = $1";
pub(super) const REOPEN_DELIVERY: &str = "
UPDATE delivery SET verdict = $2, reason = NULL, dismissed_at = NULL, dismissed_by = NULL, dismissed_because = NULL,
    first = coalesce(first, $3), first_received_at = coalesce(first_received_at, $4),
    first_signed_at = coalesce(first_signed_at, $5), first_refused = coalesce(first_refused, $6)
WHERE id = $1";

/// The first who dismissed it stands. Nothing of a delivery that has nothing open can be dismissed.
pub(super) const DISMISS_DELIVERY: &str = "
UPDATE delivery SET dismissed_at = $2, dismissed_by = $3, dismissed_because = $4
WHERE id = $1 AND dismissed_at IS NULL AND EXISTS (
  SELECT 1 FROM part WHERE part.delivery = delivery.id
  AND part.outcome IN ('quarantined', 'conflict', 'unrecorded') AND recorded_in IS NULL)";

/// $1 before (id), $2 limit, $3 outcome, $4 source or null.
pub(super) const OPEN_DELIVERIES: &str = "
SELECT id, source, received_at, count(*) AS open, min(part.problem) AS problem,
       (SELECT count(*) FROM part WHERE part.delivery = delivery.id) AS events
FROM part CROSS JOIN delivery ON delivery.id = part.delivery
WHERE part.outcome IN ('quarantined', 'conflict', 'unrecorded') AND part.outcome = $3 AND part.delivery < $1
  AND part.recorded_in IS NULL AND delivery.dismissed_at IS NULL AND ($4 IS NULL OR delivery.source = $4)
GROUP BY part.delivery ORDER BY part.delivery DESC LIMIT $2";

pub(super) const FIND_DELIVERY: &str = "
SELECT id, source, received_at, client, headers, body, bytes, verdict, reason, erased_at, notification, signed_at,
       dismissed_at, dismissed_by, dismissed_because,
       verdict = 'rejected' OR EXISTS (
         SELECT 1 FROM replay WHERE replay.delivery = delivery.id AND was = 'rejected') AS refused
FROM delivery WHERE id = $1";

/// When what deliveries are was sent first: $1 their ids.
pub(super) const SENT: &str = "
SELECT delivery.id AS delivery, coalesce(first, delivery.id) AS id, coalesce(first_received_at, received_at) AS received_at,
       iif(first IS NULL, signed_at, first_signed_at) AS signed_at,
       coalesce(first_refused, verdict = 'rejected' OR EXISTS (
         SELECT 1 FROM replay WHERE replay.delivery = delivery.id AND was = 'rejected')) AS refused
FROM json_each($1) CROSS JOIN delivery ON delivery.id = value";

/// The newest of what was said again, without an id, as it was known, and the newest of that which was refused first: $1 source,
/// $2 subjects, $3 a delivery before, $4 one of which nothing is meant.
pub(super) const SAID_AGAIN: &str = "
SELECT subject, id, position, max(said) FROM (
  SELECT part.subject, part.position, delivery.id, coalesce(first, delivery.id) AS said,
         coalesce(first_refused, EXISTS (
           SELECT 1 FROM replay WHERE replay.delivery = delivery.id AND was = 'rejected')) AS refused
  FROM json_each($2) AS asked CROSS JOIN part ON part.subject = asked.value
    AND part.outcome = 'duplicate' AND part.event_id IS NULL AND part.delivery > $3
  CROSS JOIN delivery ON delivery.id = part.delivery AND delivery.source = $1
  WHERE coalesce(first, delivery.id) <> $4)
GROUP BY subject, refused";

/// The newest of one notification that is in quarantine, with its parts: $1 source, $2 its id, $3 the digest of its body.
pub(super) const SAME_IN_QUARANTINE: &str = "
SELECT id, (SELECT json_group_array(json_array(outcome = 'quarantined', subject))
            FROM (SELECT outcome, subject FROM part WHERE part.delivery = delivery.id ORDER BY idx)) AS parts
FROM delivery WHERE source = $1 AND notification = $2 AND digest = $3 AND verdict = 'quarantined' ORDER BY id DESC LIMIT 1";

/// The oldest 1000 of one notification: $1 source, $2 its id, $3 the digest of its body; of rows that have none what has $4
/// bytes, $5 those.
pub(super) const SAME_NOTIFICATION: &str = "
SELECT id, verdict, headers, erased_at IS NOT NULL AS erased FROM (
  SELECT id, verdict, headers, erased_at FROM delivery WHERE source = $1 AND notification = $2 AND digest = $3
  UNION ALL
  SELECT id, verdict, headers, erased_at FROM delivery
  WHERE source = $1 AND notification = $2 AND digest IS NULL AND verdict <> 'rejected' AND bytes = $4
  AND (body IS NULL OR body = $5))
ORDER BY id LIMIT 1000";
/// Whether another one was taken under the same id: $1 source, $2 its id, $3 the digest of its body.
pub(super) const NOTIFICATION_REUSED: &str = "
SELECT EXISTS (SELECT 1 FROM delivery WHERE source = $1 AND notification = $2 AND digest < $3 AND verdict <> 'rejected')
    OR EXISTS (SELECT 1 FROM delivery WHERE source = $1 AND notification = $2 AND digest > $3 AND verdict <> 'rejected')";
pub(super) const PARTS_OF: &str = "
SELECT idx, event_id, type, subject, outcome, position, problem, pointer, detail, recorded_in
FROM part WHERE delivery = $1 ORDER BY idx";
pub(super) const REPLAYS_OF: &str = "SELECT at, was FROM replay WHERE delivery = $1 ORDER BY at";

/// $1 source or null, $2 problem, $3 after, $4 limit.
pub(super) const QUARANTINED: &str = "
SELECT DISTINCT part.delivery AS id FROM part JOIN delivery ON delivery.id = part.delivery
WHERE part.problem = $2 AND part.delivery > $3 AND ($1 IS NULL OR delivery.source = $1)
ORDER BY part.delivery LIMIT $4";

pub(super) const PENDING: &str = "
SELECT id FROM delivery WHERE verdict = 'pending' AND id > $1 ORDER BY id LIMIT $2";

/// The columns of a list: the delivery and its parts in numbers.
macro_rules! list {
    ($where:literal) => {
        concat!(
            "SELECT id, source, received_at, client, bytes, verdict, reason, erased_at,
                    dismissed_at, dismissed_by, dismissed_because,
                    (SELECT count(*) FROM part WHERE part.delivery = delivery.id) AS events,
                    (SELECT count(*) FROM part WHERE part.delivery = delivery.id AND problem IS NOT NULL) AS quarantined,
                    (SELECT min(problem) FROM part WHERE part.delivery = delivery.id) AS problem
             FROM delivery WHERE id < $1 AND ",
            $where,
            " ORDER BY id DESC LIMIT $2"
        )
    };
}
pub(super) const LIST_ALL: &str = list!("true");
pub(super) const LIST_SOURCE: &str = list!("source = $3");
pub(super) const LIST_VERDICTS: &str = list!("verdict IN (SELECT value FROM json_each($3))");
pub(super) const LIST_SOURCE_VERDICTS: &str = list!("source = $3 AND verdict IN (SELECT value FROM json_each($4))");

pub(super) const PERSONAL: &str = "
SELECT personal.source, personal.person, email, name FROM json_each($1) JOIN personal
ON personal.source = value ->> 'source' AND personal.person = value ->> 'person'";
pub(super) const SHARED_ADDRESSES: &str = "
WITH shared AS (
  SELECT lower(email) AS address, min(source || '/' || person) AS first FROM personal WHERE email <> ''
  GROUP BY address HAVING count(*) > 1 AND first > $1 ORDER BY first LIMIT $2
)
SELECT personal.source, personal.person, email, name FROM personal JOIN shared ON lower(email) = address
ORDER BY first, personal.source || '/' || personal.person";
pub(super) const FORGET_PERSON: &str = "DELETE FROM personal WHERE source = $1 AND person = $2 RETURNING email";
/// $3 is the subject, $4 and $5 are texts that a body may hold (null for none).
pub(super) const ERASE_DELIVERIES: &str = "
UPDATE delivery SET body = NULL, headers = '[]', digest = NULL, erased_at = $2
WHERE source = $1 AND body IS NOT NULL AND (
  id IN (SELECT delivery FROM part WHERE subject = $3)
  OR instr(body, CAST($4 AS BLOB)) > 0
  OR instr(body, CAST($5 AS BLOB)) > 0)
RETURNING id";
pub(super) const ERASE_PARTS: &str = "
UPDATE part SET detail = 'erased' WHERE problem IS NOT NULL AND delivery IN (SELECT value FROM json_each($1))";

pub(super) const INSERT_DECISIONS: &str = "
INSERT INTO decision (id, at, outcome, user_id, user_name, client, family, asked, granted, message, position,
                      kind, caller, count, together)
SELECT value ->> 'id', value ->> 'at', value ->> 'outcome', value ->> 'user_id', value ->> 'user_name',
       value ->> 'client', value ->> 'family', value ->> 'asked', value ->> 'granted', value ->> 'message',
       value ->> 'position', value ->> 'kind', value ->> 'caller', value ->> 'count', value ->> 'together'
FROM json_each($1) WHERE true
ON CONFLICT (together) WHERE together IS NOT NULL DO UPDATE
SET count = decision.count + excluded.count, at = excluded.at, asked = excluded.asked, family = excluded.family
ON CONFLICT DO NOTHING";
/// The oldest of a kind and caller beyond $3.
pub(super) const TRIM_DECISIONS: &str = "
DELETE FROM decision WHERE kind = $1 AND caller = $2 AND id <= (
  SELECT id FROM decision WHERE kind = $1 AND caller = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
/// The oldest of a kind beyond $2.
pub(super) const TRIM_KIND: &str = "
DELETE FROM decision WHERE kind = $1 AND id <= (
  SELECT id FROM decision WHERE kind = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";

pub(super) const COUNT_LET_GO: &str = "
INSERT INTO let_go (kind, rows) VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE SET rows = let_go.rows + excluded.rows";
pub(super) const LET_GO: &str = "SELECT kind, rows FROM let_go ORDER BY kind";

pub(super) const ADD_REFUSED: &str = "
INSERT INTO refused_sign_in (principal, hour, client, cause, name, count, first_at, last_at)
SELECT value ->> 'principal', value ->> 'hour', value ->> 'client', value ->> 'cause', value ->> 'name',
       value ->> 'count', value ->> 'first_at', value ->> 'last_at'
FROM json_each($1) WHERE true
ON CONFLICT (principal, hour, client, cause) DO UPDATE
SET count = refused_sign_in.count + excluded.count, last_at = excluded.last_at, name = excluded.name";
/// All but the newest $2 of a principal. Those of which nothing was checked go first: there is no end of them, and they
/// are to push no guess out.
pub(super) const TRIM_REFUSED: &str = "
DELETE FROM refused_sign_in WHERE principal = $1 AND (hour, client, cause) NOT IN (
  SELECT hour, client, cause FROM refused_sign_in WHERE principal = $1
  ORDER BY cause = 'waiting', last_at DESC LIMIT $2)";
pub(super) const REFUSED_SIGN_INS: &str = "
SELECT principal, client, cause, name, count, first_at, last_at FROM refused_sign_in
WHERE $1 IS NULL OR principal = $1 ORDER BY last_at DESC, principal, client, cause LIMIT $2";
pub(super) const PRUNE_REFUSED: &str = "DELETE FROM refused_sign_in WHERE hour < $1";
pub(super) const INSERT_DECISION_IMAGES: &str = "
INSERT INTO decision_image (decision, image, project)
SELECT value ->> 'decision', value ->> 'image', value ->> 'project'
FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";
pub(super) const COUNT_DECISIONS: &str = "
INSERT INTO decision_count (hour, project, outcome, count)
SELECT value ->> 'hour', value ->> 'project', value ->> 'outcome', value ->> 'count'
FROM json_each($1) WHERE true
ON CONFLICT (hour, project, outcome) DO UPDATE SET count = decision_count.count + excluded.count";

/// $1 before (id), $2 limit, $3 from, $4 until, $5 user name, or id as the `/` in it says, $6 image, $8 outcome; each null
/// for any.
macro_rules! decisions {
    ($from:literal) => {
        concat!(
            "SELECT id, at, outcome, user_id, user_name, client, family, asked, granted, message, position, kind, caller, count, together FROM ",
            $from,
            " AND id < $1 AND ($3 IS NULL OR at >= $3) AND ($4 IS NULL OR at < $4)
              AND ($5 IS NULL OR iif(instr($5, '/') > 0, user_id, user_name) = $5)
              AND ($6 IS NULL OR EXISTS (SELECT 1 FROM decision_image AS i WHERE i.decision = id AND i.image = $6))
              AND ($8 IS NULL OR outcome = $8)
             ORDER BY id DESC LIMIT $2"
        )
    };
}
pub(super) const DECISIONS: &str = decisions!("decision WHERE true");
pub(super) const DECISIONS_OF_USER: &str = decisions!("decision WHERE user_name = $5");
pub(super) const DECISIONS_OF_PROJECT: &str =
    decisions!("decision WHERE id IN (SELECT decision FROM decision_image WHERE project = $7)");
pub(super) const FIND_DECISION: &str = "
SELECT id, at, outcome, user_id, user_name, client, family, asked, granted, message, position, kind, caller, count, together
FROM decision WHERE id = $1";
pub(super) const DECISION_COUNTS: &str = "
SELECT hour, project, outcome, count FROM decision_count
WHERE hour >= $1 AND hour < $2 AND ($3 IS NULL OR project = $3) ORDER BY hour, project, outcome";

pub(super) const CLAIM_ANSWER: &str = "
INSERT INTO answer (key, digest, at) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING";
pub(super) const FIND_ANSWER: &str = "SELECT digest, status, body FROM answer WHERE key = $1";
pub(super) const EXPIRE_ANSWER: &str = "DELETE FROM answer WHERE key = $1 AND at < $2";
pub(super) const STORE_ANSWER: &str = "UPDATE answer SET status = $2, body = $3 WHERE key = $1";
pub(super) const DROP_ANSWER: &str = "DELETE FROM answer WHERE key = $1 AND status IS NULL";
/// One process writes: what runs at start ran in a process that is no more.
pub(super) const DROP_RUNNING_ANSWERS: &str = "DELETE FROM answer WHERE status IS NULL";

/// Pruning goes in steps of at most 1000 rows, so that no delivery waits long. $1: the first id that stays; ids sort by
/// time.
pub(super) const PRUNE_DELIVERIES: &str = "
DELETE FROM delivery WHERE id IN (
  SELECT id FROM delivery WHERE id < $1 AND verdict NOT IN ('pending', 'quarantined') ORDER BY id LIMIT 1000)";
pub(super) const PRUNE_QUARANTINE: &str = "
DELETE FROM delivery WHERE id IN (
  SELECT id FROM delivery WHERE verdict IN ('quarantined', 'pending') AND id < $1 ORDER BY id LIMIT 1000)";
/// $2: how many may stay.
pub(super) const PRUNE_DECISIONS: &str = "
DELETE FROM decision WHERE id IN (
  SELECT id FROM decision
  WHERE id < $1 OR id <= (SELECT id FROM decision ORDER BY id DESC LIMIT 1 OFFSET $2) ORDER BY id LIMIT 1000)";
/// $2: how many may stay.
pub(super) const PRUNE_COUNTS: &str = "
DELETE FROM decision_count WHERE rowid IN (
  SELECT rowid FROM decision_count
  WHERE hour < $1 OR hour <= (SELECT hour FROM decision_count ORDER BY hour DESC LIMIT 1 OFFSET $2) ORDER BY hour LIMIT 1000)";
pub(super) const PRUNE_ANSWERS: &str = "DELETE FROM answer WHERE at < $1";
