-- The keys of idempotent requests were plain hashes over what their callers sign in with. They are keyed now, with a key
-- that does not lie in this file, and hold nothing of a credential; what was there cannot be keyed anew.

DELETE FROM answer;
