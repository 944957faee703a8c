-- The read side: everything here is derived from the log and can be thrown away. It is never migrated: a file of
-- another schema or projector version is discarded and folded anew. Positions are places in the log; `cause` of a row
-- is its `from_position` (the event that began it) and its `to_position` (the event that ended it, null while it
-- stands). Times are microseconds since 1970, windows are [starts, ends), null is open.
--
-- To read it with your own tools take SQLite newer than 3.40: the Bloom filters of that version lose rows of the view
-- `membership` (in its shell `.testctrl optimizations 0x80000` switches them off).

CREATE TABLE checkpoint (
    projection TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    log_id TEXT NOT NULL,
    position INTEGER NOT NULL
);

-- Every fact that ever stood. `data` is the event's data, verbatim.
CREATE TABLE fact (
    source TEXT NOT NULL,
    noun TEXT NOT NULL,
    subject TEXT NOT NULL,
    from_position INTEGER NOT NULL,
    to_position INTEGER,
    starts INTEGER,
    ends INTEGER,
    data TEXT NOT NULL
);
CREATE UNIQUE INDEX fact_now ON fact (noun, source, subject) WHERE to_position IS NULL;

-- What an event did, where it did anything but apply.
CREATE TABLE effect (
    position INTEGER PRIMARY KEY,
    effect TEXT NOT NULL,
    reason TEXT
);

-- Subjects that keep their last state because their newest event cannot be judged.
CREATE TABLE parked (
    source TEXT NOT NULL,
    subject TEXT NOT NULL,
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (source, subject)
);

-- Which user a person belongs to.
CREATE TABLE person_user (
    source TEXT NOT NULL,
    person TEXT NOT NULL,
    user_id TEXT NOT NULL,
    from_position INTEGER NOT NULL,
    to_position INTEGER
);
CREATE UNIQUE INDEX person_user_now ON person_user (source, person) WHERE to_position IS NULL;

-- The name that a user signs in with.
CREATE TABLE user_name (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    from_position INTEGER NOT NULL,
    to_position INTEGER
);
CREATE UNIQUE INDEX user_name_now ON user_name (user_id) WHERE to_position IS NULL;

-- Entitlements that reach named people only, for ever.
CREATE TABLE narrowed (
    source TEXT NOT NULL,
    entitlement TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (source, entitlement)
);

-- The project of a package. A name that it had before stays its alias.
CREATE TABLE project (
    source TEXT NOT NULL,
    package TEXT NOT NULL,
    name TEXT NOT NULL,
    archived INTEGER NOT NULL,
    from_position INTEGER NOT NULL,
    to_position INTEGER
);
CREATE UNIQUE INDEX project_now ON project (source, package) WHERE to_position IS NULL;

CREATE VIEW project_alias AS
SELECT DISTINCT earlier.name AS alias, project.name AS project, project.source, project.package
FROM project AS earlier
JOIN project ON project.source = earlier.source AND project.package = earlier.package AND project.to_position IS NULL
WHERE earlier.to_position IS NOT NULL AND earlier.name <> project.name;

-- The facts that stand now, by noun.

CREATE VIEW account AS
SELECT source, subject, data ->> 'account' AS account, data ->> 'kind' AS kind, data ->> 'parent' AS parent,
    data ->> 'name' AS name, from_position AS since
FROM fact WHERE noun = 'account' AND to_position IS NULL;

CREATE VIEW person AS
SELECT source, subject, data ->> 'person' AS person, data ->> 'username' AS username, data ->> 'account' AS account,
    data ->> 'active' AS active, from_position AS since
FROM fact WHERE noun = 'person' AND to_position IS NULL;

CREATE VIEW permission AS
SELECT source, subject, data ->> 'person' AS person, data ->> 'permission' AS permission, from_position AS since
FROM fact WHERE noun = 'permission' AND to_position IS NULL;

CREATE VIEW product AS
SELECT source, subject, data ->> 'product' AS product, data ->> 'name' AS name, from_position AS since
FROM fact WHERE noun = 'product' AND to_position IS NULL;

CREATE VIEW package AS
SELECT source, subject, data ->> 'package' AS package, data ->> 'name' AS name, data ->> 'producer' AS producer,
    data ->> 'container_delivery' AS container_delivery, starts, ends, from_position AS since
FROM fact WHERE noun = 'package' AND to_position IS NULL;

CREATE VIEW package_product AS
SELECT source, subject, data ->> 'package' AS package, data ->> 'product' AS product, from_position AS since
FROM fact WHERE noun = 'package_product' AND to_position IS NULL;

CREATE VIEW entitlement AS
SELECT source, subject, data ->> 'entitlement' AS entitlement, data ->> 'account' AS account, data ->> 'state' AS state,
    from_position AS since
FROM fact WHERE noun = 'entitlement' AND to_position IS NULL;

CREATE VIEW line AS
SELECT source, subject, data ->> 'line' AS line, data ->> 'entitlement' AS entitlement, data ->> 'product' AS product,
    starts, ends, data ->> 'quantity' AS quantity, from_position AS since
FROM fact WHERE noun = 'line' AND to_position IS NULL;

CREATE VIEW entitlement_person AS
SELECT source, subject, data ->> 'entitlement' AS entitlement, data ->> 'person' AS person, from_position AS since
FROM fact WHERE noun = 'entitlement_person' AND to_position IS NULL;

CREATE VIEW binding AS
SELECT source, subject, data -> 'principal' ->> 'user' AS user_id, data ->> 'role' AS role,
    data -> 'scope' ->> 'project' AS project, data ->> 'author' AS author, starts, ends, from_position AS since
FROM fact WHERE noun = 'binding' AND to_position IS NULL;

-- The roles of the profile in force, and what is compared of their names. Before any profile was set the bundled one of
-- Revenera holds.
CREATE VIEW role AS
WITH profile (data) AS (SELECT data FROM fact WHERE noun = 'profile' AND to_position IS NULL)
SELECT entry.key AS role, lower(replace(replace(replace(entry.key, ' ', ''), '_', ''), '-', '')) AS plain
FROM profile, json_each(profile.data, '$.roles') AS entry
UNION ALL
SELECT bundled.value, lower(replace(bundled.value, '_', ''))
FROM json_each('["Developer", "Guest", "system_of_record"]') AS bundled
WHERE NOT EXISTS (SELECT 1 FROM profile);

-- The role that rule 2 and rule 3 give: the setting, else the profile's, else the default; spelled as the profile does.
-- A rule whose role the profile lacks gives nothing.
CREATE VIEW rule_role AS
WITH
    settings (data) AS (SELECT data FROM fact WHERE noun = 'settings' AND to_position IS NULL),
    profile (data) AS (SELECT data FROM fact WHERE noun = 'profile' AND to_position IS NULL),
    said (producer, customer) AS (
        SELECT
            coalesce((SELECT data ->> 'producer_role' FROM settings),
                (SELECT data -> 'rules' ->> 'producer_role' FROM profile), 'Developer'),
            coalesce((SELECT data ->> 'consumer_role' FROM settings),
                (SELECT data -> 'rules' ->> 'consumer_role' FROM profile), 'Guest')
    )
SELECT
    (SELECT role FROM role
     WHERE plain = lower(replace(replace(replace(said.producer, ' ', ''), '_', ''), '-', ''))) AS producer,
    (SELECT role FROM role
     WHERE plain = lower(replace(replace(replace(said.customer, ' ', ''), '_', ''), '-', ''))) AS customer
FROM said;

-- Each account with itself and every account above it. Accounts of a cycle have no parent.
CREATE VIEW account_above AS
WITH RECURSIVE
    reach (source, account, above) AS (
        SELECT source, account, parent FROM account WHERE parent IS NOT NULL
        UNION
        SELECT reach.source, reach.account, account.parent
        FROM reach JOIN account ON account.source = reach.source AND account.subject = 'account/' || reach.above
        WHERE account.parent IS NOT NULL
    ),
    cyclic (source, account) AS MATERIALIZED (SELECT source, account FROM reach WHERE above = account),
    edge (source, account, parent) AS MATERIALIZED (
        SELECT source, account, parent FROM account WHERE parent IS NOT NULL
        EXCEPT
        SELECT account.source, account.account, account.parent FROM cyclic
        CROSS JOIN account
        WHERE account.source = cyclic.source AND account.subject = 'account/' || cyclic.account
    ),
    up (source, account, above) AS (
        SELECT source, account, account FROM account
        UNION
        SELECT up.source, up.account, edge.parent
        FROM up JOIN edge ON edge.source = up.source AND edge.account = up.above
        JOIN account ON account.source = edge.source AND account.subject = 'account/' || edge.parent
    )
SELECT source, account, above FROM up;

-- Users that an authoritative source shuts out.
CREATE VIEW shut_out AS
SELECT DISTINCT person_user.user_id
FROM fact AS settings, json_each(settings.data, '$.sources') AS configured
JOIN person ON person.source = configured.key AND NOT person.active
JOIN person_user ON person_user.source = person.source AND person_user.person = person.person
    AND person_user.to_position IS NULL
WHERE settings.noun = 'settings' AND settings.to_position IS NULL AND configured.value ->> 'authoritative';

-- Every reason of every membership with its window (rules 1 to 3 and 5 of the design), one row a reason. The parts are
-- materialised: each is small beside their join, and the planner orders what is left well.
CREATE VIEW standing AS
WITH
    member AS MATERIALIZED (
        SELECT person.source, person.person, person.account, person.since, person_user.user_id, user_name.name AS user_name
        FROM person
        JOIN person_user ON person_user.source = person.source AND person_user.person = person.person
            AND person_user.to_position IS NULL
        JOIN user_name ON user_name.user_id = person_user.user_id AND user_name.to_position IS NULL
        WHERE person.active AND person_user.user_id NOT IN (SELECT user_id FROM shut_out)
    ),
    manager AS MATERIALIZED (
        SELECT member.source, member.person, member.account, member.user_id, member.user_name,
            max(member.since, permission.since) AS since
        FROM permission
        JOIN member ON member.source = permission.source AND member.person = permission.person
        WHERE permission.permission = 'view_and_manage_download_packages'
    ),
    above AS MATERIALIZED (
        -- CROSS: in this order; the other way round every account would look through all.
        SELECT account_above.source, account_above.account, account_above.above, account.since
        FROM account_above
        CROSS JOIN account
        WHERE account.source = account_above.source AND account.subject = 'account/' || account_above.account
    ),
    delivered AS MATERIALIZED (
        SELECT package.source, package.package, package.producer, package.starts, package.ends, package.since,
            project.name AS project
        FROM package
        JOIN project ON project.source = package.source AND project.package = package.package
            AND project.to_position IS NULL AND NOT project.archived
        WHERE package.container_delivery
    ),
    -- What a product of a package is, with the package's window.
    sold AS MATERIALIZED (
        SELECT delivered.source, delivered.package, delivered.project, delivered.starts, delivered.ends, mapped.product,
            max(delivered.since, mapped.since, product.since) AS since
        FROM package_product AS mapped
        JOIN product ON product.source = mapped.source AND product.subject = 'product/' || mapped.product
        JOIN delivered ON delivered.source = mapped.source AND delivered.package = mapped.package
    ),
    bought AS MATERIALIZED (
        SELECT entitlement.source, entitlement.entitlement, entitlement.account, line.line, line.product,
            line.starts, line.ends, max(entitlement.since, line.since) AS since,
            EXISTS (
                SELECT 1 FROM narrowed
                WHERE narrowed.source = entitlement.source AND narrowed.entitlement = entitlement.entitlement
            ) AS narrowed
        FROM entitlement
        JOIN account ON account.source = entitlement.source AND account.subject = 'account/' || entitlement.account
        JOIN line ON line.source = entitlement.source AND line.entitlement = entitlement.entitlement
        WHERE entitlement.state = 'active'
    ),
    reached AS (
        SELECT bought.*, member.person, member.account AS person_account, member.user_id, member.user_name,
            max(member.since, above.since) AS person_since
        FROM bought
        JOIN above ON above.source = bought.source AND above.above = bought.account
        JOIN member ON member.source = above.source AND member.account = above.account
        WHERE NOT bought.narrowed AND (above.account = above.above OR EXISTS (
            SELECT 1 FROM fact WHERE noun = 'settings' AND to_position IS NULL AND data ->> 'customer_sub_accounts'
        ))
        UNION ALL
        SELECT bought.*, member.person, member.account, member.user_id, member.user_name,
            max(member.since, assigned.since)
        FROM bought
        JOIN entitlement_person AS assigned
            ON assigned.source = bought.source AND assigned.entitlement = bought.entitlement
        JOIN member ON member.source = bought.source AND member.person = assigned.person
        WHERE bought.narrowed
    )
SELECT
    manager.user_id, manager.user_name, delivered.project, (SELECT producer FROM rule_role) AS role, 'producer' AS rule,
    manager.account AS name, manager.source, manager.person, manager.account, delivered.package, NULL AS entitlement, NULL AS line,
    NULL AS product, NULL AS starts, NULL AS ends, max(manager.since, above.since, delivered.since) AS since
FROM delivered
JOIN above ON above.source = delivered.source AND above.above = delivered.producer
JOIN manager ON manager.source = above.source AND manager.account = above.account
WHERE (SELECT producer FROM rule_role) IS NOT NULL
UNION ALL
SELECT
    reached.user_id, reached.user_name, sold.project, (SELECT customer FROM rule_role), 'customer', reached.line, reached.source,
    reached.person, reached.person_account, sold.package, reached.entitlement, reached.line, reached.product,
    nullif(max(coalesce(reached.starts, -9223372036854775808), coalesce(sold.starts, -9223372036854775808)),
        -9223372036854775808),
    nullif(min(coalesce(reached.ends, 9223372036854775807), coalesce(sold.ends, 9223372036854775807)),
        9223372036854775807),
    max(reached.person_since, reached.since, sold.since)
FROM reached
JOIN sold ON sold.source = reached.source AND sold.product = reached.product
WHERE (SELECT customer FROM rule_role) IS NOT NULL
UNION ALL
SELECT
    member.user_id, member.user_name, delivered.project, role.role, 'binding', binding.subject, member.source,
    member.person, member.account, delivered.package, NULL, NULL, NULL, binding.starts, binding.ends,
    max(member.since, binding.since, delivered.since)
FROM binding
JOIN member ON member.source = substr(binding.user_id, 1, instr(binding.user_id, '/') - 1)
    AND member.person = substr(binding.user_id, instr(binding.user_id, '/') + 1)
JOIN delivered ON binding.project IS NULL OR binding.project = delivered.source || '/' || delivered.package
JOIN role ON role.plain = lower(replace(replace(replace(binding.role, ' ', ''), '_', ''), '-', ''));

-- Who is a member of what at this moment, with every reason.
CREATE VIEW membership AS
SELECT user_id, user_name, project, role, rule, name, source, person, account, package, entitlement, line, product, since,
    ends
FROM standing
WHERE coalesce(starts <= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000, TRUE)
    AND coalesce(ends > CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000, TRUE);
