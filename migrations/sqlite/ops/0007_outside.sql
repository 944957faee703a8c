-- Members of groups that exist and are not read, as `absent` has those that do not exist.
ALTER TABLE source_status ADD COLUMN outside TEXT NOT NULL DEFAULT '{"count":0,"first":[]}';
