-- Revision yoke_profiles_0001. Statements end with a semicolon and an empty line.

CREATE TABLE agent_profiles (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  project_id UUID NOT NULL,
  name TEXT NOT NULL,
  status TEXT DEFAULT 'draft' NOT NULL,
  source TEXT DEFAULT 'store' NOT NULL,
  options JSONB DEFAULT '{}'::jsonb NOT NULL,
  version INTEGER DEFAULT 1 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_agent_profiles PRIMARY KEY (id),
  CONSTRAINT uq_agent_profiles_project_id_name UNIQUE (project_id, name),
  CONSTRAINT ck_agent_profiles_name CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  CONSTRAINT ck_agent_profiles_status CHECK (status IN ('draft', 'active', 'paused', 'archived')),
  CONSTRAINT ck_agent_profiles_source CHECK (source IN ('config', 'store')),
  CONSTRAINT ck_agent_profiles_options CHECK (jsonb_typeof(options) = 'object'),
  CONSTRAINT fk_agent_profiles_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT
);

CREATE TRIGGER set_updated_at BEFORE UPDATE ON agent_profiles
  FOR EACH ROW EXECUTE FUNCTION trigger_set_updated_at();
