-- Revision yoke_costs_0004. Statements end with a semicolon and an empty line.

-- What a budget counts of what an agent is asked, which is no session: what it used, and where nobody knows that,
-- what was set aside for it, or what it told if that is more. Only the task it is about can say what an unknown
-- cost is reckoned at where nothing was set aside. It takes `agent.asking` and `agent.asked` alike.
CREATE OR REPLACE FUNCTION yoke_costs_counted(asked events)
  RETURNS TABLE (work_item_id uuid, agent text, model text, usd numeric, unknown_usd integer, tokens bigint,
                 unknown_tokens integer) LANGUAGE sql STABLE AS $$
  SELECT coalesce(item.id, '00000000-0000-0000-0000-000000000000'), coalesce(asked.payload ->> 'agent', ''),
         coalesce(asked.payload ->> 'model', ''), coalesce(told.usd, greatest(held.usd, least.usd), 0),
         (item.id IS NOT NULL AND told.usd IS NULL AND held.usd IS NULL)::integer,
         coalesce(told.tokens, greatest(held.tokens, least.tokens), 0),
         (item.id IS NOT NULL AND told.tokens IS NULL AND held.tokens IS NULL)::integer
  FROM (SELECT asked.payload -> 'usage' AS used, asked.payload -> 'reserved' AS reserved,
               yoke_costs_usd(asked.payload -> 'cost_usd') AS cost,
               asked.payload ->> 'cost_source' IS DISTINCT FROM 'least' AS final) given
  CROSS JOIN LATERAL (
    SELECT CASE WHEN given.final THEN given.cost END AS usd,
           CASE WHEN given.final THEN yoke_costs_tokens(given.cost, given.used) END AS tokens
  ) told
  CROSS JOIN LATERAL (
    SELECT coalesce(given.cost, (SELECT sum(part.cost_usd) FROM yoke_costs_usage(given.used) part)) AS usd,
           yoke_costs_tokens(given.cost, given.used) AS tokens
  ) least
  CROSS JOIN LATERAL (
    SELECT yoke_costs_usd(given.reserved -> 'usd') AS usd, yoke_costs_count(given.reserved -> 'tokens') AS tokens
  ) held
  LEFT JOIN work_items item ON item.project_id = asked.project_id AND item.key = nullif(asked.task, '')
$$;

-- The event by which it was recorded that an agent is asked what this one answers; a row of NULLs for none.
CREATE FUNCTION yoke_costs_asking(asked events) RETURNS events LANGUAGE sql STABLE AS $$
  SELECT asking FROM events asking
  WHERE asking.project_id = asked.project_id AND asking.type = 'agent.asking' AND asking.session = asked.session
    AND asked.type = 'agent.asked' AND asked.session <> ''
  ORDER BY asking.seq DESC LIMIT 1
$$;

-- A question counts from its start on, as a session does; its answer takes the place of what counted before.
CREATE OR REPLACE FUNCTION sum_budget_of_question() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  asking events := yoke_costs_asking(NEW);
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('yoke costs ' || NEW.project_id, 0));
  INSERT INTO budget_sums AS total
  SELECT NEW.project_id, day, change.work_item_id, change.agent, '', change.model, 0, sum(sign * usd),
         sum(sign * unknown_usd), sum(sign * tokens), sum(sign * unknown_tokens)
  FROM (SELECT 1 AS sign, * FROM yoke_costs_counted(NEW)
        UNION ALL SELECT -1, * FROM yoke_costs_counted(asking) WHERE asking.id IS NOT NULL) change
  CROSS JOIN yoke_costs_days(coalesce(asking.at, yoke_costs_asked_at(NEW.at, NEW.payload))) day
  GROUP BY day, change.work_item_id, change.agent, change.model
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

DROP TRIGGER sum_budget_of_question ON events;

CREATE TRIGGER sum_budget_of_question AFTER INSERT ON events
  FOR EACH ROW WHEN (NEW.type IN ('agent.asking', 'agent.asked')) EXECUTE FUNCTION sum_budget_of_question();

-- What is set aside for a question, until its answer. No session stands for it whose known costs could be taken
-- off later: of one that was cut off, only what counts beyond what it told stays. Deferred, since an event is
-- stored before its run has a row.
CREATE FUNCTION keep_reservation_of_question() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  usd numeric := yoke_costs_usd(NEW.payload -> 'reserved' -> 'usd');
  tokens bigint := yoke_costs_count(NEW.payload -> 'reserved' -> 'tokens');
  cost numeric := yoke_costs_usd(NEW.payload -> 'cost_usd');
  known boolean := NEW.payload ->> 'cost_source' IS DISTINCT FROM 'least';
BEGIN
  IF NEW.type = 'agent.asked' THEN
    UPDATE budget_reservations
    SET state = 'settled', settled_usd = CASE WHEN known THEN cost END,
        settled_tokens = CASE WHEN known THEN yoke_costs_tokens(cost, NEW.payload -> 'usage') END,
        amount_usd = CASE WHEN known THEN amount_usd ELSE greatest(amount_usd - coalesce(cost, 0), 0) END,
        settled_at = NEW.at, version = version + 1
    WHERE session::text = NEW.session AND state = 'reserved' AND project_id = NEW.project_id;
  ELSIF usd IS NOT NULL OR tokens IS NOT NULL THEN
    INSERT INTO budget_reservations (project_id, run_id, work_item_id, session, amount_usd, amount_tokens,
                                     reserved_at)
    SELECT NEW.project_id, (SELECT id FROM runs WHERE id::text = NEW.run),
           (SELECT id FROM work_items WHERE project_id = NEW.project_id AND key = nullif(NEW.task, '')),
           NEW.session::uuid, usd, tokens, NEW.at
    ON CONFLICT (session) DO NOTHING;
  END IF;
  RETURN NULL;
EXCEPTION
  WHEN data_exception OR integrity_constraint_violation THEN
    RAISE WARNING 'what event % sets aside was not kept: %', NEW.id, SQLERRM;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER keep_reservation_of_question AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.type IN ('agent.asking', 'agent.asked')) EXECUTE FUNCTION keep_reservation_of_question();
