-- Revision yoke_costs_0002. Statements end with a semicolon and an empty line.

ALTER TABLE budget_reservations ALTER COLUMN amount_usd DROP NOT NULL;

ALTER TABLE budget_reservations
  ADD COLUMN amount_tokens BIGINT,
  ADD COLUMN settled_tokens BIGINT,
  ADD CONSTRAINT ck_budget_reservations_amount_tokens CHECK (amount_tokens >= 0),
  ADD CONSTRAINT ck_budget_reservations_settled_tokens CHECK (settled_tokens >= 0),
  ADD CONSTRAINT ck_budget_reservations_amount CHECK (amount_usd IS NOT NULL OR amount_tokens IS NOT NULL);

CREATE INDEX ix_budget_reservations_unknown ON budget_reservations (project_id)
  WHERE state = 'settled' AND settled_usd IS NULL;

-- A number of an event that fits into the accounts; NULL for what is none. Agents and plugins can say anything,
-- and a number that no column takes would keep the whole event out of the tables.
CREATE FUNCTION yoke_costs_number(value jsonb, most numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN least(greatest(value::numeric, 0), most) END
$$;

CREATE FUNCTION yoke_costs_usd(value jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT round(yoke_costs_number(value, 999999.999999), 6)
$$;

CREATE FUNCTION yoke_costs_count(value jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT round(yoke_costs_number(value, 1000000000000000))::bigint
$$;

-- The entries of a list of usage, in order, and nothing for what is no such list.
CREATE FUNCTION yoke_costs_usage(used jsonb)
  RETURNS TABLE (place bigint, model text, input bigint, output bigint, cache_read bigint, cache_write bigint,
                 cost_usd numeric) LANGUAGE sql IMMUTABLE AS $$
  SELECT entry.place, entry.value ->> 'model',
         coalesce(yoke_costs_count(entry.value -> 'input'), 0),
         coalesce(yoke_costs_count(entry.value -> 'output'), 0),
         coalesce(yoke_costs_count(entry.value -> 'cache_read'), 0),
         coalesce(yoke_costs_count(entry.value -> 'cache_write'), 0),
         yoke_costs_usd(entry.value -> 'cost_usd')
  FROM jsonb_array_elements(CASE jsonb_typeof(used) WHEN 'array' THEN used ELSE '[]' END)
       WITH ORDINALITY AS entry(value, place)
  WHERE jsonb_typeof(entry.value) = 'object'
$$;

-- What a list of usage and its sum in dollars come to, model by model. Where every entry has a price, the sum is
-- shared in proportion to the prices, and the shares make the sum to the last digit. Where one has none, the sum
-- goes to the model that was chosen, since its helpers come with that choice, and the cost of the others' own
-- part is unknown. Where there is no sum, an entry's own price is all that is known.
CREATE FUNCTION yoke_costs_shares(used jsonb, total numeric, chosen text)
  RETURNS TABLE (model text, input bigint, output bigint, cache_read bigint, cache_write bigint,
                 cost_usd numeric) LANGUAGE sql IMMUTABLE AS $$
  WITH part AS (
    SELECT entry.*,
           bool_and(entry.cost_usd IS NOT NULL) OVER () AND sum(entry.cost_usd) OVER () > 0 AS priced,
           sum(entry.cost_usd) OVER () AS whole,
           coalesce(sum(entry.cost_usd) OVER (ORDER BY entry.place), 0) AS upto,
           row_number() OVER (ORDER BY (entry.model = chosen) IS TRUE DESC, entry.place) = 1 AS first
    FROM yoke_costs_usage(used) entry
  )
  SELECT coalesce(part.model, chosen), part.input, part.output, part.cache_read, part.cache_write,
         CASE
           WHEN total IS NULL THEN part.cost_usd
           WHEN part.priced THEN round(total * part.upto / part.whole, 6)
                                 - round(total * (part.upto - part.cost_usd) / part.whole, 6)
           WHEN part.first THEN total
         END
  FROM part
$$;

-- A finished session leaves one row for each model it used, in the transaction that finishes it; also where
-- nobody knows what it cost or used, since unknown is not free. All of it counts on the day the session started on.
CREATE OR REPLACE FUNCTION record_agent_costs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  used jsonb := NEW.metadata -> 'usage';
BEGIN
  IF NOT EXISTS (SELECT FROM yoke_costs_usage(used)) THEN
    used := jsonb_build_array(jsonb_build_object('model', NEW.model));
  END IF;
  INSERT INTO agent_costs (project_id, run_id, session_id, work_item_id, model, input_tokens, output_tokens,
                           cache_read_tokens, cache_write_tokens, cost_usd, occurred_at)
  SELECT NEW.project_id, NEW.run_id, NEW.id, NEW.work_item_id, share.model, share.input, share.output,
         share.cache_read, share.cache_write, share.cost_usd, NEW.started_at
  FROM yoke_costs_shares(used, NEW.cost_usd, NEW.model) share;
  RETURN NULL;
END
$$;

INSERT INTO agent_costs (project_id, run_id, session_id, work_item_id, model, occurred_at)
SELECT project_id, run_id, id, work_item_id, model, started_at FROM sessions session
WHERE state <> 'running' AND cost_usd IS NULL
  AND NOT EXISTS (SELECT FROM agent_costs WHERE session_id = session.id);

UPDATE agent_costs SET occurred_at = session.started_at
FROM sessions session WHERE session.id = agent_costs.session_id;

-- What was set aside is written in the transaction that claims the task for the session.
CREATE FUNCTION make_budget_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  usd numeric := yoke_costs_usd(NEW.metadata -> 'reserved' -> 'usd');
  tokens bigint := yoke_costs_count(NEW.metadata -> 'reserved' -> 'tokens');
BEGIN
  IF usd IS NOT NULL OR tokens IS NOT NULL THEN
    INSERT INTO budget_reservations (project_id, run_id, work_item_id, session, amount_usd, amount_tokens,
                                     reserved_at)
    VALUES (NEW.project_id, NEW.run_id, NEW.work_item_id, NEW.id, usd, tokens, NEW.started_at)
    ON CONFLICT (session) DO NOTHING;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER make_budget_reservation AFTER INSERT ON sessions
  FOR EACH ROW WHEN (NEW.state = 'running' AND NEW.metadata ? 'reserved')
  EXECUTE FUNCTION make_budget_reservation();

-- A session is free when it says so and used nothing; interrupted like that it has done nothing either, and what
-- was set aside for it is released.
CREATE FUNCTION yoke_costs_released(state text, cost numeric, used jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT state = 'interrupted' AND cost IS NOT DISTINCT FROM 0 AND NOT EXISTS (SELECT FROM yoke_costs_usage(used))
$$;

-- Tokens of all kinds; 0 for what was free of charge and told none, NULL where nobody knows.
CREATE FUNCTION yoke_costs_tokens(cost numeric, used jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(sum(entry.input + entry.output + entry.cache_read + entry.cache_write),
                  CASE WHEN cost = 0 THEN 0 END)::bigint
  FROM yoke_costs_usage(used) entry
$$;

-- When an agent was asked, by an event that tells its answer.
CREATE FUNCTION yoke_costs_asked_at(answered timestamptz, told jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT answered - coalesce(yoke_costs_number(told -> 'seconds', 10000000), 0)::double precision * interval '1 second'
$$;

CREATE FUNCTION settle_budget_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  used jsonb := NEW.metadata -> 'usage';
  -- Whether it was cut off before it told all: what it came to is unknown.
  known boolean := NEW.metadata ->> 'cost_source' IS DISTINCT FROM 'least';
BEGIN
  UPDATE budget_reservations
  SET state = CASE WHEN yoke_costs_released(NEW.state, NEW.cost_usd, used) THEN 'released' ELSE 'settled' END,
      settled_usd = CASE WHEN known THEN NEW.cost_usd END,
      settled_tokens = CASE WHEN known THEN yoke_costs_tokens(NEW.cost_usd, used) END,
      settled_at = coalesce(NEW.finished_at, now()), version = version + 1
  WHERE session = NEW.id AND state = 'reserved';
  RETURN NULL;
END
$$;

CREATE TRIGGER settle_budget_reservation AFTER UPDATE OF state ON sessions
  FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running')
  EXECUTE FUNCTION settle_budget_reservation();

-- What agents answered outside of tasks. No session of theirs is in `sessions`, and what one is about has rows of
-- its own, so these have none. Deferred, since an event is stored before its run has a row. What does not fit is
-- left out: an event that cannot be stored would hold up all that come after it.
CREATE FUNCTION record_asked_costs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  used jsonb := NEW.payload -> 'usage';
  cost numeric := yoke_costs_usd(NEW.payload -> 'cost_usd');
  asked text := coalesce(NEW.payload ->> 'model', '');
BEGIN
  IF NOT EXISTS (SELECT FROM yoke_costs_usage(used)) THEN
    used := jsonb_build_array(jsonb_build_object('model', asked));
  END IF;
  INSERT INTO agent_costs (project_id, run_id, work_item_id, model, operation_type, input_tokens, output_tokens,
                           cache_read_tokens, cache_write_tokens, cost_usd, occurred_at)
  SELECT NEW.project_id, (SELECT id FROM runs WHERE id::text = NEW.run),
         (SELECT id FROM work_items WHERE project_id = NEW.project_id AND key = nullif(NEW.task, '')),
         share.model, coalesce(nullif(left(NEW.payload ->> 'operation', 50), ''), 'question'), share.input,
         share.output, share.cache_read, share.cache_write, share.cost_usd,
         yoke_costs_asked_at(NEW.at, NEW.payload)
  FROM yoke_costs_shares(used, cost, asked) share;
  RETURN NULL;
EXCEPTION
  WHEN data_exception OR integrity_constraint_violation THEN
    RAISE WARNING 'event % was not accounted for: %', NEW.id, SQLERRM;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER record_asked_costs AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.type = 'agent.asked') EXECUTE FUNCTION record_asked_costs();
