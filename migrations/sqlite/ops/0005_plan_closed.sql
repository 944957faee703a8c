-- When a plan ceased to wait, and who confirmed or discarded it; nobody where a later read found something else.

ALTER TABLE plan ADD COLUMN closed_at BIGINT;
ALTER TABLE plan ADD COLUMN closed_by TEXT;
