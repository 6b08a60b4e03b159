DROP TABLE commits;

DROP TABLE conflict_files;

DROP TABLE conflict_forecasts;

UPDATE landings SET status = 'rejected' WHERE status = 'undone';

ALTER TABLE landings DROP CONSTRAINT ck_landings_status;

ALTER TABLE landings ADD CONSTRAINT ck_landings_status CHECK (status IN ('queued', 'testing', 'landed', 'rejected', 'conflict'));

DROP INDEX ix_check_results_project_id_checked_at;

CREATE INDEX ix_check_results_project_id_checked_at ON check_results (project_id, checked_at) WHERE passed;

ALTER TABLE check_results DROP COLUMN source_id;

ALTER TABLE check_results DROP COLUMN tries;

ALTER TABLE check_results DROP COLUMN flaky;

