-- Evidence: a check that passed only when it was tried again.
ALTER TABLE check_results ADD COLUMN flaky BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE check_results ADD COLUMN tries INTEGER DEFAULT 1 NOT NULL;

ALTER TABLE check_results ADD CONSTRAINT ck_check_results_tries CHECK (tries >= 0);

-- Landings that were reverted later.
ALTER TABLE landings DROP CONSTRAINT ck_landings_status;

ALTER TABLE landings ADD CONSTRAINT ck_landings_status CHECK (status IN ('queued', 'testing', 'landed', 'rejected', 'conflict', 'undone'));

