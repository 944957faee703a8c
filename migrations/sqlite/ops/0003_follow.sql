-- Where followers go on, and the notebook that a cursor is worth nothing without. Cursors from before had none.

DROP TABLE follow_cursor;

CREATE TABLE follow (
  source TEXT NOT NULL PRIMARY KEY,
  log TEXT NOT NULL,
  scope TEXT NOT NULL,
  position BIGINT NOT NULL,   -- what of the source was recorded when this was kept
  cursor BLOB NOT NULL
);

-- Only good with a row of `follow`: that is written last.
CREATE TABLE follow_note (
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (source, key)
) WITHOUT ROWID;

-- When a follower read everything last, and why.
ALTER TABLE standing ADD COLUMN whole_at BIGINT;
ALTER TABLE standing ADD COLUMN whole_why TEXT;
