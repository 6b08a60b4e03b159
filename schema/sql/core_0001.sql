-- Revision core_0001: the core's tables, indexes, functions and triggers.
-- Statements end with a semicolon and an empty line.

CREATE FUNCTION trigger_set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE projects (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  repo_key TEXT NOT NULL,
  name TEXT NOT NULL,
  root TEXT DEFAULT '' NOT NULL,
  default_branch TEXT DEFAULT '' NOT NULL,
  plan_path TEXT DEFAULT '' NOT NULL,
  plan_hash TEXT DEFAULT '' NOT NULL,
  status TEXT DEFAULT 'active' NOT NULL,
  version INTEGER DEFAULT 1 NOT NULL,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_projects PRIMARY KEY (id),
  CONSTRAINT ck_projects_status CHECK (status IN ('active', 'paused', 'completed', 'archived')),
  CONSTRAINT uq_projects_repo_key UNIQUE (repo_key)
);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON projects
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE work_items (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  key TEXT NOT NULL,
  parent_id UUID,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  prompt TEXT DEFAULT '' NOT NULL,
  run TEXT DEFAULT '' NOT NULL,
  status TEXT DEFAULT 'pending' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  priority SMALLINT DEFAULT 5 NOT NULL,
  category TEXT DEFAULT '' NOT NULL,
  position INTEGER DEFAULT 0 NOT NULL,
  estimate DOUBLE PRECISION,
  attempts INTEGER DEFAULT 0 NOT NULL,
  cost_usd NUMERIC(12, 6),
  commit TEXT,
  started_at TIMESTAMP WITH TIME ZONE,
  completed_at TIMESTAMP WITH TIME ZONE,
  deleted_at TIMESTAMP WITH TIME ZONE,
  version INTEGER DEFAULT 1 NOT NULL,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_work_items PRIMARY KEY (id),
  CONSTRAINT uq_work_items_project_id_key UNIQUE (project_id, key),
  CONSTRAINT ck_work_items_kind CHECK (kind IN ('epic', 'task', 'subtask', 'research')),
  CONSTRAINT ck_work_items_status CHECK (status IN ('proposed', 'pending', 'in_progress', 'blocked', 'completed', 'failed', 'cancelled')),
  CONSTRAINT ck_work_items_commit CHECK (commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_work_items_key CHECK (key <> ''),
  CONSTRAINT ck_work_items_title CHECK (char_length(title) <= 200),
  CONSTRAINT ck_work_items_priority CHECK (priority BETWEEN 0 AND 9),
  CONSTRAINT ck_work_items_estimate CHECK (estimate > 0),
  CONSTRAINT ck_work_items_parent_id CHECK (parent_id <> id),
  CONSTRAINT ck_work_items_attempts CHECK (attempts >= 0),
  CONSTRAINT ck_work_items_cost_usd CHECK (cost_usd >= 0),
  CONSTRAINT ck_work_items_position CHECK (position >= 0),
  CONSTRAINT fk_work_items_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_work_items_parent_id FOREIGN KEY(parent_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_work_items_parent_id_position ON work_items (parent_id, position);

CREATE INDEX ix_work_items_project_id_status ON work_items (project_id, status) WHERE deleted_at IS NULL;

CREATE TRIGGER set_updated_at BEFORE UPDATE ON work_items
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE work_item_dependencies (
  predecessor_id UUID NOT NULL,
  successor_id UUID NOT NULL,
  strength TEXT DEFAULT 'hard' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_work_item_dependencies PRIMARY KEY (predecessor_id, successor_id),
  CONSTRAINT ck_work_item_dependencies_strength CHECK (strength IN ('hard', 'soft', 'related')),
  CONSTRAINT ck_work_item_dependencies_no_self_edge CHECK (predecessor_id <> successor_id),
  CONSTRAINT fk_work_item_dependencies_predecessor_id FOREIGN KEY(predecessor_id) REFERENCES work_items (id) ON DELETE CASCADE,
  CONSTRAINT fk_work_item_dependencies_successor_id FOREIGN KEY(successor_id) REFERENCES work_items (id) ON DELETE CASCADE
);

CREATE INDEX ix_work_item_dependencies_successor_id ON work_item_dependencies (successor_id);

CREATE TABLE runs (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  state TEXT DEFAULT 'running' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  target TEXT DEFAULT '' NOT NULL,
  target_commit TEXT,
  strategy TEXT DEFAULT '' NOT NULL,
  concurrency INTEGER DEFAULT 1 NOT NULL,
  pid INTEGER,
  host TEXT DEFAULT '' NOT NULL,
  exit_code INTEGER,
  critical_path JSONB DEFAULT '[]'::jsonb NOT NULL,
  options JSONB DEFAULT '{}'::jsonb NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_runs PRIMARY KEY (id),
  CONSTRAINT ck_runs_state CHECK (state IN ('running', 'paused', 'completed', 'failed', 'cancelled', 'interrupted')),
  CONSTRAINT ck_runs_target_commit CHECK (target_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT fk_runs_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

CREATE INDEX ix_runs_project_id_started_at ON runs (project_id, started_at);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON runs
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE parallel_batches (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID NOT NULL,
  number INTEGER NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_parallel_batches PRIMARY KEY (id),
  CONSTRAINT uq_parallel_batches_run_id_number UNIQUE (run_id, number),
  CONSTRAINT ck_parallel_batches_number CHECK (number >= 1),
  CONSTRAINT fk_parallel_batches_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_parallel_batches_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE RESTRICT
);

CREATE INDEX ix_parallel_batches_project_id ON parallel_batches (project_id);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON parallel_batches
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE parallel_batch_items (
  batch_id UUID NOT NULL,
  work_item_id UUID NOT NULL,
  position INTEGER NOT NULL,
  CONSTRAINT pk_parallel_batch_items PRIMARY KEY (batch_id, work_item_id),
  CONSTRAINT ck_parallel_batch_items_position CHECK (position >= 0),
  CONSTRAINT fk_parallel_batch_items_batch_id FOREIGN KEY(batch_id) REFERENCES parallel_batches (id) ON DELETE CASCADE,
  CONSTRAINT fk_parallel_batch_items_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_parallel_batch_items_work_item_id ON parallel_batch_items (work_item_id);

CREATE TABLE sessions (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID NOT NULL,
  work_item_id UUID NOT NULL,
  number INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  agent TEXT DEFAULT '' NOT NULL,
  model TEXT DEFAULT '' NOT NULL,
  state TEXT DEFAULT 'running' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  exit_code INTEGER,
  seconds DOUBLE PRECISION,
  cost_usd NUMERIC(12, 6),
  lane TEXT DEFAULT '' NOT NULL,
  worktree TEXT DEFAULT '' NOT NULL,
  base_commit TEXT,
  head_commit TEXT,
  kept_ref TEXT,
  folder TEXT DEFAULT '' NOT NULL,
  answer TEXT DEFAULT '' NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_sessions PRIMARY KEY (id),
  CONSTRAINT uq_sessions_project_id_number UNIQUE (project_id, number),
  CONSTRAINT ck_sessions_state CHECK (state IN ('running', 'completed', 'failed', 'interrupted')),
  CONSTRAINT ck_sessions_base_commit CHECK (base_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_sessions_head_commit CHECK (head_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_sessions_number CHECK (number >= 1),
  CONSTRAINT ck_sessions_attempt CHECK (attempt >= 1),
  CONSTRAINT ck_sessions_seconds CHECK (seconds >= 0),
  CONSTRAINT ck_sessions_cost_usd CHECK (cost_usd >= 0),
  CONSTRAINT fk_sessions_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_sessions_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE RESTRICT,
  CONSTRAINT fk_sessions_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_sessions_run_id ON sessions (run_id);

CREATE INDEX ix_sessions_project_id ON sessions (project_id) WHERE state = 'running';

CREATE INDEX ix_sessions_work_item_id_attempt ON sessions (work_item_id, attempt);

CREATE UNIQUE INDEX uq_sessions_running ON sessions (work_item_id) WHERE state = 'running';

CREATE TRIGGER set_updated_at BEFORE UPDATE ON sessions
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE worktrees (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  work_item_id UUID,
  lane TEXT NOT NULL,
  path TEXT NOT NULL,
  branch TEXT NOT NULL,
  status TEXT DEFAULT 'active' NOT NULL,
  base_commit TEXT,
  merge_commit TEXT,
  merged_at TIMESTAMP WITH TIME ZONE,
  removed_at TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_worktrees PRIMARY KEY (id),
  CONSTRAINT ck_worktrees_status CHECK (status IN ('active', 'merged', 'conflict', 'abandoned', 'removed')),
  CONSTRAINT ck_worktrees_base_commit CHECK (base_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_worktrees_merge_commit CHECK (merge_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT fk_worktrees_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_worktrees_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_worktrees_project_id ON worktrees (project_id);

CREATE INDEX ix_worktrees_work_item_id ON worktrees (work_item_id);

CREATE UNIQUE INDEX uq_worktrees_open ON worktrees (project_id, lane) WHERE status IN ('active', 'conflict');

CREATE TRIGGER set_updated_at BEFORE UPDATE ON worktrees
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE landings (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID,
  work_item_id UUID NOT NULL,
  status TEXT DEFAULT 'queued' NOT NULL,
  commit TEXT,
  tree TEXT,
  old_commit TEXT,
  epic_commit TEXT,
  target TEXT DEFAULT '' NOT NULL,
  strategy TEXT DEFAULT '' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  output TEXT DEFAULT '' NOT NULL,
  files JSONB DEFAULT '[]'::jsonb NOT NULL,
  seconds DOUBLE PRECISION,
  queued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_landings PRIMARY KEY (id),
  CONSTRAINT ck_landings_status CHECK (status IN ('queued', 'testing', 'landed', 'rejected', 'conflict')),
  CONSTRAINT ck_landings_commit CHECK (commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_landings_tree CHECK (tree ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_landings_old_commit CHECK (old_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_landings_epic_commit CHECK (epic_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_landings_seconds CHECK (seconds >= 0),
  CONSTRAINT fk_landings_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_landings_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE RESTRICT,
  CONSTRAINT fk_landings_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_landings_project_id_queued_at ON landings (project_id, queued_at);

CREATE INDEX ix_landings_run_id ON landings (run_id);

CREATE INDEX ix_landings_work_item_id_queued_at ON landings (work_item_id, queued_at);

CREATE UNIQUE INDEX uq_landings_open ON landings (work_item_id) WHERE status IN ('queued', 'testing');

CREATE TRIGGER set_updated_at BEFORE UPDATE ON landings
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE check_results (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  session_id UUID,
  landing_id UUID,
  work_item_id UUID,
  tree TEXT NOT NULL,
  command TEXT NOT NULL,
  environment TEXT DEFAULT '' NOT NULL,
  stage TEXT NOT NULL,
  passed BOOLEAN NOT NULL,
  exit_code INTEGER,
  seconds DOUBLE PRECISION NOT NULL,
  log TEXT DEFAULT '' NOT NULL,
  checked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_check_results PRIMARY KEY (id),
  CONSTRAINT ck_check_results_stage CHECK (stage IN ('task', 'landing')),
  CONSTRAINT ck_check_results_tree CHECK (tree ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
  CONSTRAINT ck_check_results_seconds CHECK (seconds >= 0),
  CONSTRAINT fk_check_results_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_check_results_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE RESTRICT,
  CONSTRAINT fk_check_results_landing_id FOREIGN KEY(landing_id) REFERENCES landings (id) ON DELETE RESTRICT,
  CONSTRAINT fk_check_results_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_check_results_landing_id ON check_results (landing_id);

CREATE INDEX ix_check_results_project_id_tree ON check_results (project_id, tree);

CREATE INDEX ix_check_results_project_id_checked_at ON check_results (project_id, checked_at) WHERE passed;

CREATE INDEX ix_check_results_session_id ON check_results (session_id);

CREATE INDEX ix_check_results_work_item_id ON check_results (work_item_id);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON check_results
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE interventions (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  run_id UUID,
  work_item_id UUID,
  kind TEXT NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  choices JSONB DEFAULT '[]'::jsonb NOT NULL,
  opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  resolved_at TIMESTAMP WITH TIME ZONE,
  choice TEXT,
  resolved_by TEXT,
  version INTEGER DEFAULT 1 NOT NULL,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_interventions PRIMARY KEY (id),
  CONSTRAINT ck_interventions_choice CHECK (choice IS NULL OR resolved_at IS NOT NULL),
  CONSTRAINT fk_interventions_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT,
  CONSTRAINT fk_interventions_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE RESTRICT,
  CONSTRAINT fk_interventions_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT
);

CREATE INDEX ix_interventions_project_id ON interventions (project_id) WHERE resolved_at IS NULL;

CREATE INDEX ix_interventions_project_id_opened_at ON interventions (project_id, opened_at);

CREATE INDEX ix_interventions_run_id ON interventions (run_id);

CREATE INDEX ix_interventions_work_item_id ON interventions (work_item_id);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON interventions
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();

CREATE TABLE events (
  id UUID NOT NULL,
  seq BIGINT GENERATED BY DEFAULT AS IDENTITY,
  project_id UUID NOT NULL,
  run TEXT DEFAULT '' NOT NULL,
  epic TEXT DEFAULT '' NOT NULL,
  task TEXT DEFAULT '' NOT NULL,
  session TEXT DEFAULT '' NOT NULL,
  type TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  payload JSONB DEFAULT '{}'::jsonb NOT NULL,
  recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_events PRIMARY KEY (id),
  CONSTRAINT uq_events_seq UNIQUE (seq),
  CONSTRAINT fk_events_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

CREATE INDEX ix_events_project_id_run_seq ON events (project_id, run, seq);

CREATE INDEX ix_events_project_id_seq ON events (project_id, seq);

CREATE INDEX ix_events_project_id_epic_seq ON events (project_id, epic, seq) WHERE epic <> '';

CREATE INDEX ix_events_project_id_task_seq ON events (project_id, task, seq) WHERE task <> '';

CREATE INDEX ix_events_project_id_type_seq ON events (project_id, type, seq);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON events
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER append_only_table BEFORE TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
