-- Takes revision yoke_costs_0004 back. Statements end with a semicolon and an empty line.

DROP TRIGGER keep_reservation_of_question ON events;

DROP FUNCTION keep_reservation_of_question();

DROP TRIGGER sum_budget_of_question ON events;

-- What a budget counts of what agents were asked, which is no session. Only the task it is about can say what
-- an unknown cost is reckoned at.
CREATE OR REPLACE FUNCTION yoke_costs_counted(asked events)
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

CREATE OR REPLACE FUNCTION sum_budget_of_question() RETURNS trigger LANGUAGE plpgsql AS $$
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

DROP FUNCTION yoke_costs_asking(events);
