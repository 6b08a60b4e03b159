-- Revision yoke_costs_0003. Statements end with a semicolon and an empty line.

CREATE TABLE daily_costs (
  project_id UUID NOT NULL,
  day DATE NOT NULL,
  model TEXT NOT NULL,
  operation_type TEXT NOT NULL,
  operations BIGINT DEFAULT 0 NOT NULL,
  unknown_costs BIGINT DEFAULT 0 NOT NULL,
  input_tokens BIGINT DEFAULT 0 NOT NULL,
  output_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_read_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
  cost_usd NUMERIC(18, 6) DEFAULT 0 NOT NULL,
  CONSTRAINT pk_daily_costs PRIMARY KEY (project_id, day, model, operation_type),
  CONSTRAINT fk_daily_costs_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);

CREATE TABLE item_costs (
  project_id UUID NOT NULL,
  span TEXT NOT NULL,
  starts_on DATE NOT NULL,
  work_item_id UUID NOT NULL,
  operations BIGINT DEFAULT 0 NOT NULL,
  unknown_costs BIGINT DEFAULT 0 NOT NULL,
  input_tokens BIGINT DEFAULT 0 NOT NULL,
  output_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_read_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
  cost_usd NUMERIC(18, 6) DEFAULT 0 NOT NULL,
  CONSTRAINT pk_item_costs PRIMARY KEY (project_id, span, starts_on, work_item_id),
  CONSTRAINT ck_item_costs_span CHECK (span IN ('day', 'month', 'ever')),
  CONSTRAINT fk_item_costs_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);

CREATE TABLE budget_sums (
  project_id UUID NOT NULL,
  day DATE NOT NULL,
  work_item_id UUID NOT NULL,
  agent TEXT NOT NULL,
  tier TEXT NOT NULL,
  model TEXT NOT NULL,
  sessions BIGINT DEFAULT 0 NOT NULL,
  usd NUMERIC(18, 6) DEFAULT 0 NOT NULL,
  unknown_usd BIGINT DEFAULT 0 NOT NULL,
  tokens BIGINT DEFAULT 0 NOT NULL,
  unknown_tokens BIGINT DEFAULT 0 NOT NULL,
  CONSTRAINT pk_budget_sums PRIMARY KEY (project_id, day, work_item_id, agent, tier, model),
  CONSTRAINT fk_budget_sums_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE
);

-- What a budget counts of a session: what it used, and where nobody knows that, what was set aside for it, or
-- what it told if that is more. Nothing for one that did nothing.
CREATE FUNCTION yoke_costs_counted(session sessions)
  RETURNS TABLE (usd numeric, unknown_usd integer, tokens bigint, unknown_tokens integer) LANGUAGE sql STABLE AS $$
  SELECT coalesce(counted.usd, 0), (told.usd IS NULL AND held.usd IS NULL)::integer,
         coalesce(counted.tokens, 0), (told.tokens IS NULL AND held.tokens IS NULL)::integer
  FROM (SELECT session.metadata -> 'usage' AS used, session.metadata -> 'reserved' AS reserved,
               session.metadata ->> 'cost_source' IS DISTINCT FROM 'least' AS final) given
  CROSS JOIN LATERAL (
    SELECT CASE WHEN given.final THEN session.cost_usd END AS usd,
           CASE WHEN given.final THEN yoke_costs_tokens(session.cost_usd, given.used) END AS tokens
  ) told
  CROSS JOIN LATERAL (
    SELECT coalesce(session.cost_usd, (SELECT sum(part.cost_usd) FROM yoke_costs_usage(given.used) part)) AS usd,
           yoke_costs_tokens(session.cost_usd, given.used) AS tokens
  ) least
  CROSS JOIN LATERAL (
    SELECT yoke_costs_usd(given.reserved -> 'usd') AS usd, yoke_costs_count(given.reserved -> 'tokens') AS tokens
  ) held
  CROSS JOIN LATERAL (
    SELECT coalesce(told.usd, greatest(held.usd, least.usd)) AS usd,
           coalesce(told.tokens, greatest(held.tokens, least.tokens)) AS tokens
  ) counted
  WHERE session.id IS NOT NULL
    AND NOT (session.state = 'interrupted'
             AND yoke_costs_released(session.state, session.cost_usd, given.used))
$$;

-- The days of the sums that something counts in: its own, by UTC, and the one that stands for ever.
CREATE FUNCTION yoke_costs_days(at timestamptz) RETURNS SETOF date LANGUAGE sql IMMUTABLE AS $$
  VALUES (DATE '0001-01-01'), ((at AT TIME ZONE 'UTC')::date)
$$;

-- A session counts from its start on. What becomes of its row later changes nothing: what is spent is spent.
CREATE FUNCTION sum_budget_of_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('yoke costs ' || NEW.project_id, 0));
  INSERT INTO budget_sums AS total
  SELECT NEW.project_id, day, NEW.work_item_id, NEW.agent, coalesce(NEW.metadata ->> 'tier', ''), NEW.model,
         sum(sign), sum(sign * usd), sum(sign * unknown_usd), sum(sign * tokens), sum(sign * unknown_tokens)
  FROM (SELECT 1 AS sign, * FROM yoke_costs_counted(NEW)
        UNION ALL SELECT -1, * FROM yoke_costs_counted(OLD)) change
  CROSS JOIN yoke_costs_days(NEW.started_at) day
  GROUP BY day
  ON CONFLICT (project_id, day, work_item_id, agent, tier, model) DO UPDATE
  SET sessions = total.sessions + excluded.sessions, usd = total.usd + excluded.usd,
      unknown_usd = total.unknown_usd + excluded.unknown_usd, tokens = total.tokens + excluded.tokens,
      unknown_tokens = total.unknown_tokens + excluded.unknown_tokens;
  RETURN NULL;
END
$$;

CREATE TRIGGER sum_budget_of_session AFTER INSERT OR UPDATE OF state, cost_usd, metadata ON sessions
  FOR EACH ROW EXECUTE FUNCTION sum_budget_of_session();

-- What a budget counts of what agents were asked, which is no session. Only the task it is about can say what
-- an unknown cost is reckoned at.
CREATE FUNCTION yoke_costs_counted(asked events)
  RETURNS TABLE (work_item_id uuid, agent text, model text, usd numeric, unknown_usd integer, tokens bigint,
                 unknown_tokens integer) LANGUAGE sql STABLE AS $$
  SELECT coalesce(item.id, '00000000-0000-0000-0000-000000000000'), coalesce(asked.payload ->> 'agent', ''),
         coalesce(asked.payload ->> 'model', ''), coalesce(told.usd, parts.usd, 0),
         (item.id IS NOT NULL AND (told.usd IS NULL OR NOT told.final))::integer, coalesce(told.tokens, 0),
         (item.id IS NOT NULL AND (told.tokens IS NULL OR NOT told.final))::integer
  FROM (SELECT yoke_costs_usd(asked.payload -> 'cost_usd') AS usd,
               yoke_costs_tokens(yoke_costs_usd(asked.payload -> 'cost_usd'), asked.payload -> 'usage') AS tokens,
               asked.payload ->> 'cost_source' IS DISTINCT FROM 'least' AS final) told
  CROSS JOIN LATERAL (SELECT sum(part.cost_usd) AS usd FROM yoke_costs_usage(asked.payload -> 'usage') part) parts
  LEFT JOIN work_items item ON item.project_id = asked.project_id AND item.key = nullif(asked.task, '')
$$;

CREATE FUNCTION sum_budget_of_question() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('yoke costs ' || NEW.project_id, 0));
  INSERT INTO budget_sums AS total
  SELECT NEW.project_id, day, asked.work_item_id, asked.agent, '', asked.model, 0, asked.usd, asked.unknown_usd,
         asked.tokens, asked.unknown_tokens
  FROM yoke_costs_counted(NEW) asked CROSS JOIN yoke_costs_days(yoke_costs_asked_at(NEW.at, NEW.payload)) day
  ON CONFLICT (project_id, day, work_item_id, agent, tier, model) DO UPDATE
  SET usd = total.usd + excluded.usd, unknown_usd = total.unknown_usd + excluded.unknown_usd,
      tokens = total.tokens + excluded.tokens, unknown_tokens = total.unknown_tokens + excluded.unknown_tokens;
  RETURN NULL;
EXCEPTION
  WHEN data_exception OR integrity_constraint_violation THEN
    RAISE WARNING 'event % was not counted: %', NEW.id, SQLERRM;
    RETURN NULL;
END
$$;

CREATE TRIGGER sum_budget_of_question AFTER INSERT ON events
  FOR EACH ROW WHEN (NEW.type = 'agent.asked') EXECUTE FUNCTION sum_budget_of_question();

INSERT INTO budget_sums
SELECT session.project_id, day, session.work_item_id, session.agent, coalesce(session.metadata ->> 'tier', ''),
       session.model, count(*), sum(counted.usd), sum(counted.unknown_usd), sum(counted.tokens),
       sum(counted.unknown_tokens)
FROM sessions session CROSS JOIN LATERAL yoke_costs_counted(session) counted
CROSS JOIN LATERAL yoke_costs_days(session.started_at) day
GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO budget_sums AS total
SELECT event.project_id, day, asked.work_item_id, asked.agent, '', asked.model, 0, sum(asked.usd),
       sum(asked.unknown_usd), sum(asked.tokens), sum(asked.unknown_tokens)
FROM events event CROSS JOIN LATERAL yoke_costs_counted(event) asked
CROSS JOIN LATERAL yoke_costs_days(yoke_costs_asked_at(event.at, event.payload)) day
WHERE event.type = 'agent.asked'
GROUP BY 1, 2, 3, 4, 5, 6
ON CONFLICT (project_id, day, work_item_id, agent, tier, model) DO UPDATE
SET usd = total.usd + excluded.usd, unknown_usd = total.unknown_usd + excluded.unknown_usd,
    tokens = total.tokens + excluded.tokens, unknown_tokens = total.unknown_tokens + excluded.unknown_tokens;

-- Adds what a statement changed in `agent_costs` to the sums. The transition tables are `added` and `removed`, of
-- which an INSERT has only the first and a DELETE only the second: hence a statement made of text. Writers of one
-- project go one after another from here to their commit, so that no two of them hold sums which the other wants.
CREATE FUNCTION sum_agent_costs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changes text := CASE TG_OP
    WHEN 'INSERT' THEN 'SELECT 1 AS sign, * FROM added'
    WHEN 'DELETE' THEN 'SELECT -1 AS sign, * FROM removed'
    ELSE 'SELECT 1 AS sign, * FROM added UNION ALL SELECT -1 AS sign, * FROM removed'
  END;
  sums text := 'sum(sign) AS operations, sum(sign) FILTER (WHERE cost_usd IS NULL) AS unknown_costs,
      sum(sign * input_tokens) AS input_tokens, sum(sign * output_tokens) AS output_tokens,
      sum(sign * cache_read_tokens) AS cache_read_tokens, sum(sign * cache_write_tokens) AS cache_write_tokens,
      sum(sign * cost_usd) AS cost_usd';
  given text := 'operations, coalesce(unknown_costs, 0), input_tokens, output_tokens, cache_read_tokens,
      cache_write_tokens, coalesce(cost_usd, 0)';
  differ text := '(operations, coalesce(unknown_costs, 0), input_tokens, output_tokens, cache_read_tokens,
      cache_write_tokens, coalesce(cost_usd, 0)) <> (0, 0, 0, 0, 0, 0, 0)';
  added_up text := 'operations = total.operations + excluded.operations,
      unknown_costs = total.unknown_costs + excluded.unknown_costs,
      input_tokens = total.input_tokens + excluded.input_tokens,
      output_tokens = total.output_tokens + excluded.output_tokens,
      cache_read_tokens = total.cache_read_tokens + excluded.cache_read_tokens,
      cache_write_tokens = total.cache_write_tokens + excluded.cache_write_tokens,
      cost_usd = total.cost_usd + excluded.cost_usd';
BEGIN
  EXECUTE format('SELECT pg_advisory_xact_lock(hashtextextended(''yoke costs '' || project_id, 0))
    FROM (SELECT DISTINCT project_id FROM (%s) change ORDER BY project_id) project', changes);
  EXECUTE format('INSERT INTO daily_costs AS total
    SELECT project_id, day, model, operation_type, %s
    FROM (SELECT project_id, (occurred_at AT TIME ZONE ''UTC'')::date AS day, model, operation_type, %s
          FROM (%s) change GROUP BY 1, 2, 3, 4) summed
    WHERE %s
    ON CONFLICT (project_id, day, model, operation_type) DO UPDATE SET %s', given, sums, changes, differ, added_up);
  EXECUTE format('INSERT INTO item_costs AS total
    SELECT project_id, span, starts_on, work_item_id, %s
    FROM (SELECT project_id, span, CASE span WHEN ''ever'' THEN ''0001-01-01''
                   ELSE date_trunc(span, occurred_at AT TIME ZONE ''UTC'')::date END AS starts_on,
                 coalesce(work_item_id, ''00000000-0000-0000-0000-000000000000'') AS work_item_id, %s
          FROM (%s) change CROSS JOIN (VALUES (''day''), (''month''), (''ever'')) length (span)
          GROUP BY 1, 2, 3, 4) summed
    WHERE %s
    ON CONFLICT (project_id, span, starts_on, work_item_id) DO UPDATE SET %s', given, sums, changes, differ, added_up);
  RETURN NULL;
END
$$;

CREATE TRIGGER sum_inserted AFTER INSERT ON agent_costs
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_agent_costs();

CREATE TRIGGER sum_updated AFTER UPDATE ON agent_costs
  REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sum_agent_costs();

CREATE TRIGGER sum_deleted AFTER DELETE ON agent_costs
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION sum_agent_costs();

CREATE FUNCTION forget_cost_sums() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM daily_costs;
  DELETE FROM item_costs;
  RETURN NULL;
END
$$;

CREATE TRIGGER sum_truncated AFTER TRUNCATE ON agent_costs
  FOR EACH STATEMENT EXECUTE FUNCTION forget_cost_sums();

INSERT INTO daily_costs
SELECT project_id, (occurred_at AT TIME ZONE 'UTC')::date, model, operation_type, count(*),
       count(*) FILTER (WHERE cost_usd IS NULL), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
       sum(cache_write_tokens), coalesce(sum(cost_usd), 0)
FROM agent_costs
GROUP BY 1, 2, 3, 4;

INSERT INTO item_costs
SELECT project_id, span, CASE span WHEN 'ever' THEN '0001-01-01'
         ELSE date_trunc(span, occurred_at AT TIME ZONE 'UTC')::date END,
       coalesce(work_item_id, '00000000-0000-0000-0000-000000000000'), count(*),
       count(*) FILTER (WHERE cost_usd IS NULL), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
       sum(cache_write_tokens), coalesce(sum(cost_usd), 0)
FROM agent_costs CROSS JOIN (VALUES ('day'), ('month'), ('ever')) length (span)
GROUP BY 1, 2, 3, 4;

CREATE OR REPLACE VIEW v_project_costs AS
SELECT project.id AS project_id, project.name AS project_name, cost.model, cost.operation_type,
       sum(cost.operations)::bigint AS operation_count,
       sum(cost.input_tokens)::bigint AS total_input_tokens,
       sum(cost.output_tokens)::bigint AS total_output_tokens,
       sum(cost.cache_read_tokens)::bigint AS total_cache_read_tokens,
       sum(cost.cache_write_tokens)::bigint AS total_cache_write_tokens,
       CASE WHEN sum(cost.operations) > sum(cost.unknown_costs) THEN sum(cost.cost_usd) END AS total_cost_usd,
       sum(cost.cost_usd) / nullif(sum(cost.operations) - sum(cost.unknown_costs), 0) AS avg_cost_usd,
       sum(cost.unknown_costs)::bigint AS unknown_cost_count
FROM daily_costs cost
JOIN projects project ON project.id = cost.project_id
GROUP BY project.id, cost.model, cost.operation_type
HAVING sum(cost.operations) > 0;
