-- The core's views, as revision core_0001 makes them. Statements end with a semicolon and an empty line.

CREATE VIEW epics AS
SELECT epic.id, epic.project_id, epic.key, epic.title, epic.status, epic.reason, epic.priority, epic.position,
       epic.cost_usd, epic.commit, epic.started_at, epic.completed_at, epic.version, epic.metadata,
       epic.created_at, epic.updated_at,
       count(task.id) AS total_tasks,
       count(task.id) FILTER (WHERE task.status = 'completed') AS completed_tasks
FROM work_items epic
LEFT JOIN work_items task ON task.parent_id = epic.id AND task.kind = 'task' AND task.deleted_at IS NULL
WHERE epic.kind = 'epic' AND epic.deleted_at IS NULL
GROUP BY epic.id;

CREATE VIEW tasks AS
SELECT task.id, task.project_id, task.key, task.parent_id AS epic_id, epic.key AS epic, task.title, task.prompt,
       task.run, task.status, task.reason, task.priority, task.category, task.position, task.estimate,
       task.attempts, task.cost_usd, task.commit, task.started_at, task.completed_at, task.version,
       task.metadata, task.created_at, task.updated_at
FROM work_items task
LEFT JOIN work_items epic ON epic.id = task.parent_id
WHERE task.kind = 'task' AND task.deleted_at IS NULL;

CREATE VIEW v_parallel_progress AS
SELECT batch.project_id, batch.run_id, batch.id AS batch_id, batch.number AS batch_number,
       CASE
         WHEN work.total = work.completed THEN 'completed'
         WHEN work.failed > 0 THEN 'failed'
         WHEN run.state IN ('cancelled', 'failed', 'interrupted') THEN 'cancelled'
         WHEN work.started_at IS NULL THEN 'pending'
         ELSE 'running'
       END AS status,
       work.total AS total_tasks, work.completed AS completed_tasks, work.started_at,
       CASE WHEN work.total = work.completed THEN work.completed_at END AS completed_at,
       extract(epoch FROM
         CASE WHEN work.total = work.completed THEN work.completed_at ELSE coalesce(run.finished_at, now()) END
         - work.started_at)::double precision AS duration_seconds
FROM parallel_batches batch
JOIN runs run ON run.id = batch.run_id
CROSS JOIN LATERAL (
  SELECT count(*) AS total,
         count(*) FILTER (WHERE item.status = 'completed') AS completed,
         count(*) FILTER (WHERE item.status = 'failed') AS failed,
         min(item.started_at) AS started_at,
         max(item.completed_at) AS completed_at
  FROM parallel_batch_items place
  JOIN work_items item ON item.id = place.work_item_id
  WHERE place.batch_id = batch.id
) work;

CREATE VIEW v_worktree_status AS
SELECT tree.id AS worktree_id, tree.project_id, epic.key AS epic_id, epic.title AS epic_name, tree.lane,
       tree.branch, tree.path, tree.status, tree.created_at, tree.merged_at, tree.merge_commit, tree.removed_at,
       count(task.id) FILTER (WHERE task.status = 'completed') AS completed_tasks,
       count(task.id) AS total_tasks,
       extract(epoch FROM coalesce(tree.removed_at, tree.merged_at, now()) - tree.created_at)::double precision
         AS lifetime_seconds
FROM worktrees tree
LEFT JOIN work_items epic ON epic.id = tree.work_item_id
LEFT JOIN work_items task ON task.parent_id = epic.id AND task.kind = 'task' AND task.deleted_at IS NULL
GROUP BY tree.id, epic.id;
