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
