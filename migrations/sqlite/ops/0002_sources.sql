-- What is kept of sources that are asked: what each said last (folded from the log), plans, how they are, cursors.

CREATE TABLE mirror_reached (
  source TEXT NOT NULL PRIMARY KEY,
  log TEXT NOT NULL,
  position BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  scope TEXT,
  open TEXT                   -- a run that began and did not end
);

CREATE TABLE mirror (
  source TEXT NOT NULL,
  subject TEXT NOT NULL,
  position BIGINT NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  stands BIGINT NOT NULL,     -- 0 once it was taken back
  PRIMARY KEY (source, subject)
);
CREATE INDEX mirror_position ON mirror (source, position);

CREATE TABLE plan (
  id TEXT NOT NULL PRIMARY KEY,
  source TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  position BIGINT NOT NULL,
  why TEXT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  facts BIGINT NOT NULL,
  additions BIGINT NOT NULL,
  changes BIGINT NOT NULL,
  removals BIGINT NOT NULL,
  removals_digest TEXT NOT NULL,
  rows_digest TEXT NOT NULL
);
CREATE INDEX plan_source ON plan (source, id);

CREATE TABLE plan_row (
  plan TEXT NOT NULL REFERENCES plan (id) ON DELETE CASCADE,
  idx BIGINT NOT NULL,
  verb TEXT NOT NULL,
  type TEXT NOT NULL,
  subject TEXT NOT NULL,
  data TEXT NOT NULL,
  was TEXT,
  text TEXT NOT NULL,
  PRIMARY KEY (plan, idx)
);

CREATE TABLE standing (
  source TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL,
  reason TEXT,
  checked_at BIGINT NOT NULL,
  sealed_at BIGINT,
  applied BIGINT NOT NULL,
  facts BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  absent TEXT NOT NULL,       -- JSON
  excluded TEXT NOT NULL      -- JSON
);

CREATE TABLE follow_cursor (
  source TEXT NOT NULL PRIMARY KEY,
  log TEXT NOT NULL,
  cursor BLOB NOT NULL
);
