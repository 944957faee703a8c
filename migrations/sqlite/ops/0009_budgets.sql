-- What outsiders can cause is bounded: each kind of record has a budget for each caller, requests of nobody in particular
-- are counted together, and sign-ins that were refused are kept by whose name it was.

ALTER TABLE decision ADD COLUMN kind TEXT NOT NULL DEFAULT 'tied';   -- whose budget it is of, with `caller`
ALTER TABLE decision ADD COLUMN caller TEXT NOT NULL DEFAULT '';
ALTER TABLE decision ADD COLUMN count BIGINT NOT NULL DEFAULT 1;     -- how many requests it stands for
ALTER TABLE decision ADD COLUMN together TEXT;                      -- what those have in common
UPDATE decision SET kind = CASE WHEN user_id IS NULL THEN 'anonymous' ELSE 'tied' END, caller = coalesce(user_id, '');
CREATE UNIQUE INDEX decision_together ON decision (together) WHERE together IS NOT NULL;
CREATE INDEX decision_caller ON decision (kind, caller, id);
CREATE INDEX decision_kind ON decision (kind, id);

CREATE TABLE refused_sign_in (
  principal TEXT NOT NULL,    -- the id; empty for names that nobody has
  hour BIGINT NOT NULL,       -- its start
  client TEXT NOT NULL,       -- its address; its network where the name is nobody's
  cause TEXT NOT NULL,
  name TEXT,
  count BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (principal, hour, client, cause)
) WITHOUT ROWID;
CREATE INDEX refused_sign_in_last ON refused_sign_in (principal, last_at);

-- How many records went because a budget was full.
CREATE TABLE let_go (
  kind TEXT NOT NULL PRIMARY KEY,
  rows BIGINT NOT NULL
) WITHOUT ROWID;
