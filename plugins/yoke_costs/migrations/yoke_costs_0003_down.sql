-- Takes revision yoke_costs_0003 back. Statements end with a semicolon and an empty line.

CREATE OR REPLACE VIEW v_project_costs AS
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

DROP TRIGGER sum_budget_of_session ON sessions;

DROP TRIGGER sum_budget_of_question ON events;

DROP FUNCTION sum_budget_of_session();

DROP FUNCTION sum_budget_of_question();

DROP FUNCTION yoke_costs_counted(sessions);

DROP FUNCTION yoke_costs_counted(events);

DROP FUNCTION yoke_costs_days(timestamp with time zone);

DROP TABLE budget_sums;

DROP TRIGGER sum_inserted ON agent_costs;

DROP TRIGGER sum_updated ON agent_costs;

DROP TRIGGER sum_deleted ON agent_costs;

DROP TRIGGER sum_truncated ON agent_costs;

DROP FUNCTION sum_agent_costs();

DROP FUNCTION forget_cost_sums();

DROP TABLE item_costs;

DROP TABLE daily_costs;
