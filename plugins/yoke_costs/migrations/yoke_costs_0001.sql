-- Revision yoke_costs_0001. Statements end with a semicolon and an empty line.

CREATE TABLE agent_costs (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID,
  session_id UUID,
  work_item_id UUID,
  model TEXT NOT NULL,
  operation_type TEXT DEFAULT 'task' NOT NULL,
  input_tokens BIGINT DEFAULT 0 NOT NULL,
  output_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_read_tokens BIGINT DEFAULT 0 NOT NULL,
  cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
  cost_usd NUMERIC(12, 6),
  occurred_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_agent_costs PRIMARY KEY (id),
  CONSTRAINT ck_agent_costs_operation_type CHECK (char_length(operation_type) <= 50),
  CONSTRAINT ck_agent_costs_input_tokens CHECK (input_tokens >= 0),
  CONSTRAINT ck_agent_costs_output_tokens CHECK (output_tokens >= 0),
  CONSTRAINT ck_agent_costs_cache_read_tokens CHECK (cache_read_tokens >= 0),
  CONSTRAINT ck_agent_costs_cache_write_tokens CHECK (cache_write_tokens >= 0),
  CONSTRAINT ck_agent_costs_cost_usd CHECK (cost_usd >= 0),
  CONSTRAINT fk_agent_costs_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_agent_costs_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE SET NULL,
  CONSTRAINT fk_agent_costs_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE SET NULL,
  CONSTRAINT fk_agent_costs_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE SET NULL
);

CREATE INDEX ix_agent_costs_project_id_occurred_at ON agent_costs (project_id, occurred_at);

CREATE INDEX ix_agent_costs_run_id ON agent_costs (run_id);

CREATE INDEX ix_agent_costs_session_id ON agent_costs (session_id);

CREATE INDEX ix_agent_costs_work_item_id ON agent_costs (work_item_id);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON agent_costs
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE budget_reservations (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID,
  work_item_id UUID,
  session UUID NOT NULL,
  state TEXT DEFAULT 'reserved' NOT NULL,
  amount_usd NUMERIC(12, 6) NOT NULL,
  settled_usd NUMERIC(12, 6),
  reserved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  settled_at TIMESTAMP WITH TIME ZONE,
  version INTEGER DEFAULT 1 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_budget_reservations PRIMARY KEY (id),
  CONSTRAINT ck_budget_reservations_state CHECK (state IN ('reserved', 'settled', 'released')),
  CONSTRAINT ck_budget_reservations_amount_usd CHECK (amount_usd >= 0),
  CONSTRAINT ck_budget_reservations_settled_usd CHECK (settled_usd >= 0),
  CONSTRAINT ck_budget_reservations_settled_at CHECK ((state = 'reserved') = (settled_at IS NULL)),
  CONSTRAINT fk_budget_reservations_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_budget_reservations_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE SET NULL,
  CONSTRAINT fk_budget_reservations_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE SET NULL,
  CONSTRAINT uq_budget_reservations_session UNIQUE (session)
);

CREATE INDEX ix_budget_reservations_project_id ON budget_reservations (project_id) WHERE state = 'reserved';

CREATE INDEX ix_budget_reservations_project_id_reserved_at ON budget_reservations (project_id, reserved_at);

CREATE INDEX ix_budget_reservations_run_id ON budget_reservations (run_id);

CREATE INDEX ix_budget_reservations_work_item_id ON budget_reservations (work_item_id);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON budget_reservations
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE VIEW v_project_costs AS
SELECT project.id AS project_id, project.name AS project_name, cost.model, cost.operation_type,
       count(*) AS operation_count,
       sum(cost.input_tokens)::bigint AS total_input_tokens,
       sum(cost.output_tokens)::bigint AS total_output_tokens,
       sum(cost.cache_read_tokens)::bigint AS total_cache_read_tokens,
       sum(cost.cache_write_tokens)::bigint AS total_cache_write_tokens,
       sum(cost.cost_usd) AS total_cost_usd,
       avg(cost.cost_usd) AS avg_cost_usd,
       count(*) FILTER (WHERE cost.cost_usd IS NULL) AS unknown_cost_count
FROM agent_costs cost
JOIN projects project ON project.id = cost.project_id
GROUP BY project.id, cost.model, cost.operation_type;

-- A finished session leaves one row for each model it used, in the transaction that finishes it. What the agent
-- says it cost is one sum: it goes to the model that was chosen, since its helpers come with that choice; the
-- cost of the others' own part is unknown.
CREATE FUNCTION record_agent_costs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  used jsonb := NEW.metadata -> 'usage';
BEGIN
  IF jsonb_typeof(used) IS DISTINCT FROM 'array' OR used = '[]' THEN
    IF NEW.cost_usd IS NULL THEN
      RETURN NULL;
    END IF;
    used := jsonb_build_array(jsonb_build_object('model', NEW.model));
  END IF;
  INSERT INTO agent_costs (project_id, run_id, session_id, work_item_id, model, input_tokens, output_tokens,
                           cache_read_tokens, cache_write_tokens, cost_usd, occurred_at)
  SELECT NEW.project_id, NEW.run_id, NEW.id, NEW.work_item_id, coalesce(part.model, NEW.model),
         greatest(coalesce(part.input, 0), 0), greatest(coalesce(part.output, 0), 0),
         greatest(coalesce(part.cache_read, 0), 0), greatest(coalesce(part.cache_write, 0), 0),
         CASE WHEN row_number() OVER (ORDER BY (part.model = NEW.model) IS TRUE DESC, part.place) = 1
              THEN NEW.cost_usd END,
         coalesce(NEW.finished_at, now())
  FROM (
    SELECT row_number() OVER () AS place, entry.*
    FROM jsonb_to_recordset(used) AS entry(model text, input bigint, output bigint, cache_read bigint,
                                           cache_write bigint)
  ) part;
  RETURN NULL;
END
$$;

CREATE TRIGGER record_agent_costs AFTER UPDATE OF state ON sessions
  FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running') EXECUTE FUNCTION record_agent_costs();
