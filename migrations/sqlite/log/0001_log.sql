-- The log. Nothing here is ever changed: what can be derived belongs elsewhere.

CREATE TABLE log (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  log_id     BLOB NOT NULL CHECK (length(log_id) = 8)
) STRICT;

CREATE TABLE event (
  position    INTEGER PRIMARY KEY CHECK (position > 0),   -- dense: the writer counts
  recorded_at INTEGER NOT NULL,                           -- microseconds since 1970, non-decreasing
  source      TEXT NOT NULL,
  id          TEXT NOT NULL,
  kind        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  time        INTEGER,                                    -- microseconds since 1970
  sequence    INTEGER,                                    -- the 64 bits of an unsigned number
  origin      TEXT,
  correlation TEXT,
  traceparent TEXT,
  data        TEXT NOT NULL,                              -- verbatim
  hash        BLOB NOT NULL CHECK (length(hash) = 32),    -- sha256(hash before || this record)
  UNIQUE (source, id)                                     -- the idempotency key, for ever
) STRICT;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER event_is_never_replaced BEFORE INSERT ON event
WHEN EXISTS (SELECT 1 FROM event WHERE position >= NEW.position)
  OR EXISTS (SELECT 1 FROM event WHERE source = NEW.source AND id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;

CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;

CREATE TRIGGER log_is_never_deleted BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;
