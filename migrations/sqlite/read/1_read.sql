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

-- Every fact that ever stood. `data` is the event's data, verbatim; `{}` where the fact is over for longer than the
-- operator has it kept (`server.history`).
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

-- What an event did, where that is not a fact of its own subject that it began or ended. With `fact` it says of every
-- event what it is about and whether it applied.
CREATE TABLE effect (
    position INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    subject TEXT NOT NULL,
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

-- Scopes above projects, and in which of them a project that people made is.
CREATE VIEW folder AS
SELECT subject, data ->> 'folder' AS folder, data ->> 'kind' AS kind, data ->> 'parent' AS parent,
    data ->> 'name' AS name, from_position AS since
FROM fact WHERE noun = 'folder' AND source = 'local' AND to_position IS NULL;

CREATE VIEW local_project AS
SELECT subject, data ->> 'project' AS project, data ->> 'kind' AS kind, data ->> 'visibility' AS visibility,
    data ->> 'folder' AS folder, from_position AS since
FROM fact WHERE noun = 'project' AND source = 'local' AND to_position IS NULL;

CREATE VIEW service AS
SELECT subject, data ->> 'service' AS service, data ->> 'name' AS name, ends, from_position AS since
FROM fact WHERE noun = 'service' AND source = 'local' AND to_position IS NULL;

-- A group and its members by key: `source/id`, and the bare id of a service. What a source says is about its own.
CREATE VIEW people_group AS
SELECT source, subject, source || '/' || (data ->> 'group') AS group_id, data ->> 'name' AS name, from_position AS since
FROM fact WHERE noun = 'group' AND to_position IS NULL;

CREATE VIEW group_member AS
SELECT source, subject, source || '/' || (data ->> 'group') AS group_id,
    iif(source = 'local', '', source || '/') || (data -> 'member' ->> 'person') AS person_id,
    iif(source = 'local', '', source || '/') || (data -> 'member' ->> 'group') AS inner_id,
    iif(source = 'local', data -> 'member' ->> 'service', NULL) AS service, from_position AS since
FROM fact WHERE noun = 'member' AND to_position IS NULL;

-- A binding of a user, a service or a group on a project, a folder or (both null) the root.
CREATE VIEW binding AS
SELECT source, subject, data -> 'principal' ->> 'user' AS user_id, data -> 'principal' ->> 'service' AS service,
    data -> 'principal' ->> 'group' AS group_id, data ->> 'role' AS role,
    data -> 'scope' ->> 'project' AS project, data -> 'scope' ->> 'folder' AS folder,
    data ->> 'author' AS author, starts, ends, from_position AS since
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

-- At which levels each role may be given: 0 is the root, the last one projects.
CREATE VIEW role_level AS
WITH
    profile (data) AS (SELECT data FROM fact WHERE noun = 'profile' AND to_position IS NULL),
    level (name, ix) AS (
        SELECT entry.value, min(entry.key) FROM profile, json_each(profile.data, '$.levels') AS entry GROUP BY entry.value
    )
SELECT role.role, role.plain, level.ix AS level
FROM profile, json_each(profile.data, '$.roles') AS entry, json_each(entry.value, '$.at') AS given
JOIN role ON role.role = entry.key
JOIN level ON level.name = given.value
UNION
SELECT role.role, role.plain, iif(role.role = 'system_of_record', 0, 1)
FROM role
WHERE NOT EXISTS (SELECT 1 FROM profile);

-- Each folder with itself and every folder above it, and at which level it is: null where the profile has no such
-- level above its projects.
CREATE VIEW folder_above AS
WITH RECURSIVE up (folder, above) AS (
    SELECT folder, folder FROM folder
    UNION
    SELECT up.folder, folder.parent
    FROM up JOIN folder ON folder.subject = 'folder/' || up.above
    WHERE folder.parent IS NOT NULL
)
SELECT folder, above FROM up;

CREATE VIEW folder_level AS
WITH profile (data) AS (SELECT data FROM fact WHERE noun = 'profile' AND to_position IS NULL)
SELECT folder.subject, folder.folder,
    CASE
        WHEN EXISTS (SELECT 1 FROM profile) THEN (
            SELECT min(entry.key) FROM profile, json_each(profile.data, '$.levels') AS entry
            WHERE entry.value = folder.kind AND entry.key < json_array_length(profile.data, '$.levels') - 1
        )
        WHEN folder.kind = 'registry' THEN 0
    END AS level
FROM folder;

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

-- Sources whose facts are kept and do not count, and where the facts of each that was suspended before counted again.
CREATE VIEW suspended_source AS
SELECT data ->> 'source' AS source, data ->> 'author' AS author, from_position AS since
FROM fact WHERE noun = 'source' AND to_position IS NULL;

CREATE VIEW resumed_source AS
SELECT data ->> 'source' AS source, max(to_position) AS since
FROM fact
WHERE noun = 'source' AND source = 'local' AND subject > 'source/' AND subject < 'source0' AND to_position IS NOT NULL
GROUP BY data ->> 'source';

-- Users that an authoritative source shuts out, suspended or not.
CREATE VIEW shut_out AS
SELECT DISTINCT person_user.user_id
FROM fact AS settings, json_each(settings.data, '$.sources') AS configured
JOIN person ON person.source = configured.key AND NOT person.active
JOIN person_user ON person_user.source = person.source AND person_user.person = person.person
    AND person_user.to_position IS NULL
WHERE settings.noun = 'settings' AND settings.to_position IS NULL AND configured.value ->> 'authoritative';

-- Every reason of every membership with its window (rules 1 to 5 of the design), one row a reason. The parts are
-- materialised: each is small beside their join, and the planner orders what is left well.
CREATE VIEW standing AS
WITH
    resumed AS MATERIALIZED (SELECT source, since FROM resumed_source),
    member AS MATERIALIZED (
        SELECT person.source, person.person, person.account, person_user.user_id, user_name.name AS user_name,
            max(person.since, coalesce((SELECT since FROM resumed WHERE resumed.source = person.source), 0)) AS since
        FROM person
        JOIN person_user ON person_user.source = person.source AND person_user.person = person.person
            AND person_user.to_position IS NULL
        JOIN user_name ON user_name.user_id = person_user.user_id AND user_name.to_position IS NULL
        WHERE person.active AND person_user.user_id NOT IN (SELECT user_id FROM shut_out)
            AND person.source NOT IN (SELECT source FROM suspended_source)
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
        SELECT package.source, package.package, package.producer, package.starts, package.ends,
            max(package.since, coalesce((SELECT since FROM resumed WHERE resumed.source = package.source), 0)) AS since,
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
    ),
    -- Roles given by hand where the profile lets them be given, with the scope as a key. Roles of the API are no
    -- memberships.
    bound AS MATERIALIZED (
        SELECT binding.*, role_level.role AS role_name,
            CASE
                WHEN binding.project IS NOT NULL THEN 'project:' || binding.project
                WHEN binding.folder IS NOT NULL THEN 'folder:' || binding.folder
                ELSE 'root'
            END AS scope
        FROM binding
        JOIN role_level ON role_level.plain = lower(replace(replace(replace(binding.role, ' ', ''), '_', ''), '-', ''))
            AND role_level.level = CASE
                WHEN binding.project IS NOT NULL THEN coalesce((
                    SELECT json_array_length(data, '$.levels') - 1 FROM fact
                    WHERE noun = 'profile' AND to_position IS NULL
                ), 1)
                WHEN binding.folder IS NOT NULL THEN (
                    SELECT folder_level.level FROM folder_level
                    WHERE folder_level.subject = 'folder/' || binding.folder
                )
                ELSE 0
            END
        WHERE substr(binding.role, 1, 4) <> 'api:'
    ),
    seat AS MATERIALIZED (SELECT group_id, person_id, inner_id, service, since FROM group_member),
    nested AS MATERIALIZED (
        SELECT seat.group_id, seat.inner_id
        FROM seat
        CROSS JOIN people_group
        WHERE seat.inner_id IS NOT NULL AND people_group.group_id = seat.inner_id
            AND people_group.source NOT IN (SELECT source FROM suspended_source)
    ),
    -- Each group that has a role with every group inside it. A group that was removed, or whose source is suspended,
    -- holds nobody and leads nowhere.
    inside (group_id, inner_id) AS (
        SELECT bound.group_id, bound.group_id
        FROM bound
        CROSS JOIN people_group
        WHERE people_group.group_id = bound.group_id
            AND people_group.source NOT IN (SELECT source FROM suspended_source)
        UNION
        SELECT inside.group_id, nested.inner_id
        FROM inside
        CROSS JOIN nested
        WHERE nested.group_id = inside.inner_id
    ),
    -- Who is in a group that has a role, by whichever way came first.
    grouped AS MATERIALIZED (
        SELECT inside.group_id, seat.person_id, seat.service, min(seat.since) AS since
        FROM inside
        CROSS JOIN seat
        WHERE seat.group_id = inside.inner_id AND seat.inner_id IS NULL
        GROUP BY inside.group_id, seat.person_id, seat.service
    ),
    held AS MATERIALIZED (
        SELECT subject, role_name, scope, starts, ends, since, 'binding' AS rule, user_id AS person_id, service
        FROM bound WHERE group_id IS NULL
        UNION ALL
        SELECT bound.subject, bound.role_name, bound.scope, bound.starts, bound.ends, max(bound.since, grouped.since),
            'group', grouped.person_id, grouped.service
        FROM bound
        JOIN grouped ON grouped.group_id = bound.group_id
    ),
    given AS (
        SELECT held.subject, held.role_name AS role, held.scope, held.starts, held.ends, held.rule, member.user_id,
            member.user_name, member.source, member.person, member.account, max(held.since, member.since) AS since
        FROM held
        CROSS JOIN member
        WHERE held.person_id IS NOT NULL
            AND member.source = substr(held.person_id, 1, instr(held.person_id, '/') - 1)
            AND member.person = substr(held.person_id, instr(held.person_id, '/') + 1)
        UNION ALL
        SELECT held.subject, held.role_name, held.scope, held.starts,
            nullif(min(coalesce(held.ends, 9223372036854775807), coalesce(service.ends, 9223372036854775807)),
                9223372036854775807),
            held.rule, 'service:' || service.service,
            'service:' || service.service, 'local', NULL, NULL, max(held.since, service.since)
        FROM held
        CROSS JOIN service
        WHERE service.subject = 'service/' || held.service
    ),
    made AS MATERIALIZED (
        SELECT 'local' AS source, local_project.project AS package, local_project.folder, local_project.since,
            project.name AS project
        FROM local_project
        JOIN project ON project.source = 'local' AND project.package = local_project.project
            AND project.to_position IS NULL AND NOT project.archived
    ),
    every AS (
        SELECT source, package, project, since FROM delivered
        UNION ALL
        SELECT source, package, project, since FROM made
    ),
    -- Every project that is not archived, by each scope that holds for it.
    scoped AS MATERIALIZED (
        SELECT 'root' AS scope, project, package, since FROM every
        UNION ALL
        SELECT 'project:' || source || '/' || package, project, package, since FROM every
        UNION ALL
        SELECT 'folder:' || folder_above.above, made.project, made.package, made.since
        FROM made
        JOIN folder_above ON folder_above.folder = made.folder
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
    given.user_id, given.user_name, scoped.project, given.role, given.rule, given.subject, given.source, given.person,
    given.account, scoped.package, NULL, NULL, NULL, given.starts, given.ends, max(given.since, scoped.since)
FROM given
CROSS JOIN scoped
WHERE scoped.scope = given.scope;

-- Who is a member of what at this moment, with every reason.
CREATE VIEW membership AS
SELECT user_id, user_name, project, role, rule, name, source, person, account, package, entitlement, line, product, since,
    ends
FROM standing
WHERE coalesce(starts <= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000, TRUE)
    AND coalesce(ends > CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000, TRUE);
