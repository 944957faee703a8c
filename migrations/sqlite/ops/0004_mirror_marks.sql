-- What each source said last, kept as a mark of each subject; the facts themselves stand in the log, and the mirror is
-- folded from it anew. A mark is the fact's place in the log (8 bytes), whether its subject stands (1 byte), and the
-- first half of SHA-256 over subject, type and data (16 bytes).

DROP TABLE mirror;
DELETE FROM mirror_reached;

CREATE TABLE mirror (
  source TEXT NOT NULL,
  subject TEXT NOT NULL,
  mark BLOB NOT NULL,
  PRIMARY KEY (source, subject)
) WITHOUT ROWID;
