-- What a rebuild makes last, when the rows are in. The expressions are those of the views.

-- Of what stands `fact_now` knows. An index costs as much as a tenth of a fact, so there is none that nothing asks by.
CREATE UNIQUE INDEX fact_past ON fact (source, subject, from_position) WHERE to_position IS NOT NULL;
-- What is forgotten when it is over for long (`server.history`).
CREATE INDEX fact_said ON fact (to_position) WHERE to_position IS NOT NULL AND data <> '{}';
CREATE INDEX effect_subject ON effect (source, subject, position);
CREATE INDEX person_user_user ON person_user (user_id) WHERE to_position IS NULL;
CREATE INDEX project_history ON project (source, package, from_position);
CREATE INDEX project_name ON project (name);

CREATE INDEX person_account ON fact (source, data ->> 'account') WHERE noun = 'person' AND to_position IS NULL;
CREATE INDEX permission_person ON fact (source, data ->> 'person') WHERE noun = 'permission' AND to_position IS NULL;
CREATE INDEX package_producer ON fact (source, data ->> 'producer') WHERE noun = 'package' AND to_position IS NULL;
CREATE INDEX mapped_product ON fact (source, data ->> 'product') WHERE noun = 'package_product' AND to_position IS NULL;
CREATE INDEX mapped_package ON fact (source, data ->> 'package') WHERE noun = 'package_product' AND to_position IS NULL;
CREATE INDEX entitlement_account ON fact (source, data ->> 'account')
    WHERE noun = 'entitlement' AND to_position IS NULL;
CREATE INDEX line_entitlement ON fact (source, data ->> 'entitlement') WHERE noun = 'line' AND to_position IS NULL;
CREATE INDEX line_product ON fact (source, data ->> 'product') WHERE noun = 'line' AND to_position IS NULL;
CREATE INDEX assigned_entitlement ON fact (source, data ->> 'entitlement')
    WHERE noun = 'entitlement_person' AND to_position IS NULL;
CREATE INDEX assigned_person ON fact (source, data ->> 'person')
    WHERE noun = 'entitlement_person' AND to_position IS NULL;
CREATE INDEX group_key ON fact (source || '/' || (data ->> 'group')) WHERE noun = 'group' AND to_position IS NULL;
-- News that lost to newer ones.
CREATE INDEX effect_superseded ON effect (position) WHERE effect = 'superseded';
