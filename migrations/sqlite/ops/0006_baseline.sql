-- The words of the code: what a source said last is its baseline, how it is its status, and the removal guard holds plans.

ALTER TABLE mirror RENAME TO baseline;
ALTER TABLE baseline RENAME COLUMN mark TO entry;
ALTER TABLE mirror_reached RENAME TO baseline_state;
ALTER TABLE standing RENAME TO source_status;
UPDATE plan SET why = 'guard' WHERE why = 'brake';
ALTER TABLE source_status RENAME COLUMN whole_at TO full_read_at;
ALTER TABLE source_status RENAME COLUMN whole_why TO full_read_reason;
ALTER TABLE follow RENAME TO saved_cursor;
ALTER TABLE follow_note RENAME TO sync_state_entry;
