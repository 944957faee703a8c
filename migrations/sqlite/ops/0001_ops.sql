-- What is kept beside the log: deliveries, personal data, decisions, idempotency answers. Times are microseconds since
-- 1970, UTC; ids are text that sorts by time. Nothing here decides a membership.

CREATE TABLE delivery (
  id TEXT NOT NULL PRIMARY KEY,
  source TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  client TEXT,
  headers TEXT NOT NULL,      -- JSON array of [name, value]
  body BLOB,                  -- absent once erased; shorter than `bytes` where a rejected one was cut
  bytes BIGINT NOT NULL,
  verdict TEXT NOT NULL,
  reason TEXT,                -- why it was rejected
  erased_at BIGINT
);
CREATE INDEX delivery_source ON delivery (source, id);
CREATE INDEX delivery_verdict ON delivery (verdict, id);

CREATE TABLE part (
  delivery TEXT NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
  idx BIGINT NOT NULL,
  event_id TEXT,
  type TEXT,
  subject TEXT,
  outcome TEXT NOT NULL,
  position BIGINT,
  problem TEXT,
  pointer TEXT,
  detail TEXT,
  PRIMARY KEY (delivery, idx)
);
CREATE INDEX part_problem ON part (problem, delivery) WHERE problem IS NOT NULL;

-- One row for each replay of a delivery: what it had been before.
CREATE TABLE replay (
  delivery TEXT NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
  at BIGINT NOT NULL,
  was TEXT NOT NULL
);
CREATE INDEX replay_delivery ON replay (delivery, at);

CREATE TABLE personal (
  source TEXT NOT NULL,
  person TEXT NOT NULL,
  email TEXT,
  name TEXT,
  order_key TEXT NOT NULL,    -- sorts as the source orders its events
  PRIMARY KEY (source, person)
);

CREATE TABLE decision (       -- what was refused or reduced; what was allowed is only counted
  id TEXT NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  user_id TEXT,               -- absent for nobody in particular
  user_name TEXT,
  client TEXT NOT NULL,
  family TEXT NOT NULL,
  asked TEXT NOT NULL,
  granted TEXT NOT NULL,
  message TEXT,
  position BIGINT NOT NULL
);
CREATE INDEX decision_user ON decision (user_name, id);

CREATE TABLE decision_image (
  decision TEXT NOT NULL REFERENCES decision (id) ON DELETE CASCADE,
  image TEXT NOT NULL,
  project TEXT NOT NULL,
  PRIMARY KEY (decision, image)
);
CREATE INDEX decision_image_project ON decision_image (project, decision);

CREATE TABLE decision_count (
  hour BIGINT NOT NULL,       -- its start
  project TEXT NOT NULL,
  outcome TEXT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (hour, project, outcome)
);

CREATE TABLE answer (         -- idempotency keys of the API
  key TEXT NOT NULL PRIMARY KEY,
  digest TEXT NOT NULL,       -- SHA-256 of the request
  at BIGINT NOT NULL,
  status BIGINT,              -- absent while the request runs
  body BLOB
);
CREATE INDEX answer_at ON answer (at);
