-- Evidence: a check that passed only when it was tried again.
ALTER TABLE check_results ADD COLUMN flaky BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE check_results ADD COLUMN tries INTEGER DEFAULT 1 NOT NULL;

ALTER TABLE check_results ADD CONSTRAINT ck_check_results_tries CHECK (tries >= 0);

ALTER TABLE check_results ADD COLUMN source_id UUID;

ALTER TABLE check_results ADD CONSTRAINT fk_check_results_source_id FOREIGN KEY(source_id) REFERENCES check_results (id) ON DELETE RESTRICT;

CREATE INDEX ix_check_results_source_id ON check_results (source_id);

-- The newest results count, those that failed too.
DROP INDEX ix_check_results_project_id_checked_at;

CREATE INDEX ix_check_results_project_id_checked_at ON check_results (project_id, checked_at);

-- Landings that were reverted later.
ALTER TABLE landings DROP CONSTRAINT ck_landings_status;

ALTER TABLE landings ADD CONSTRAINT ck_landings_status CHECK (status IN ('queued', 'testing', 'landed', 'rejected', 'conflict', 'undone'));

-- Conflicts that are known before they happen, and the files that often conflict.
CREATE TABLE conflict_forecasts (
	project_id UUID NOT NULL,
	epic TEXT NOT NULL,
	with_epic TEXT NOT NULL,
	target TEXT DEFAULT '' NOT NULL,
	files JSONB DEFAULT '[]'::jsonb NOT NULL,
	more INTEGER DEFAULT 0 NOT NULL,
	tasks JSONB DEFAULT '{}'::jsonb NOT NULL,
	opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
	changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
	cleared_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_conflict_forecasts PRIMARY KEY (project_id, epic, with_epic),
	CONSTRAINT ck_conflict_forecasts_more CHECK (more >= 0),
	CONSTRAINT fk_conflict_forecasts_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

CREATE TABLE conflict_files (
	project_id UUID NOT NULL,
	path TEXT NOT NULL,
	forecasts INTEGER DEFAULT 0 NOT NULL,
	hand_overs INTEGER DEFAULT 0 NOT NULL,
	landings INTEGER DEFAULT 0 NOT NULL,
	epics JSONB DEFAULT '[]'::jsonb NOT NULL,
	last_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_conflict_files PRIMARY KEY (project_id, path),
	CONSTRAINT ck_conflict_files_forecasts CHECK (forecasts >= 0),
	CONSTRAINT ck_conflict_files_hand_overs CHECK (hand_overs >= 0),
	CONSTRAINT ck_conflict_files_landings CHECK (landings >= 0),
	CONSTRAINT fk_conflict_files_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

-- Commits and merges of work items, a person's too.
CREATE TABLE commits (
	id UUID DEFAULT gen_random_uuid() NOT NULL,
	project_id UUID NOT NULL,
	work_item_id UUID NOT NULL,
	commit TEXT NOT NULL,
	kind TEXT DEFAULT 'commit' NOT NULL,
	subject TEXT DEFAULT '' NOT NULL,
	author TEXT DEFAULT '' NOT NULL,
	writer TEXT DEFAULT 'person' NOT NULL,
	branch TEXT DEFAULT '' NOT NULL,
	session TEXT DEFAULT '' NOT NULL,
	named BOOLEAN DEFAULT false NOT NULL,
	authored_at TIMESTAMP WITH TIME ZONE,
	replaced_at TIMESTAMP WITH TIME ZONE,
	replaced_by TEXT,
	replaced_how TEXT DEFAULT '' NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	CONSTRAINT pk_commits PRIMARY KEY (id),
	CONSTRAINT uq_commits_work_item_id_commit UNIQUE (work_item_id, commit),
	CONSTRAINT ck_commits_kind CHECK (kind IN ('commit', 'merge')),
	CONSTRAINT ck_commits_writer CHECK (writer IN ('agent', 'person', 'yoke')),
	CONSTRAINT ck_commits_commit CHECK (commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
	CONSTRAINT ck_commits_replaced_by CHECK (replaced_by ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
	CONSTRAINT fk_commits_work_item_id FOREIGN KEY(work_item_id) REFERENCES work_items (id) ON DELETE RESTRICT,
	CONSTRAINT fk_commits_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

CREATE INDEX ix_commits_project_id_commit ON commits (project_id, commit);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON commits
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();
