"""Where settings come from, and what is said about wrong ones."""

from __future__ import annotations

import subprocess

import pytest

from yokeflow.config import Config
from yokeflow.errors import DocumentError
from yokeflow.git.repo import Repo
from yokeflow.model import Strategy
from yokeflow.places import FILE_NAME, find_root, user_file
from yokeflow.settings import load_config


def problems(root, overrides=None):
    with pytest.raises(DocumentError) as caught:
        load_config(root, overrides)
    return caught.value.problems


@pytest.fixture
def user(home):
    """The user's own file, ready to be written."""
    home.mkdir(parents=True, exist_ok=True)
    assert user_file() == home / "config.yaml"
    return user_file()


def test_nothing_anywhere_is_the_defaults(tmp_path):
    settings = load_config(tmp_path)
    assert settings.config == Config()
    assert set(settings.origins.values()) == {"default"}
    assert settings.origins["parallel.max_concurrency"] == "default"
    assert settings.files == ()


@pytest.mark.parametrize("text", ["", "# nothing\n", "parallel:\nagents:\n  # default: x\n"])
def test_an_empty_file_and_empty_sections_work(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    assert load_config(tmp_path).config == Config()


def test_precedence(tmp_path, user, monkeypatch):
    keys = ["project.name", "agents.default", "plan", "cost.default_model", "database.url"]
    user.write_text(
        "project: {name: u, target: u}\nagents: {default: u}\nplan: u\ncost: {default_model: u}\n"
    )
    (tmp_path / FILE_NAME).write_text("project: {name: r}\nagents: {default: r}\nplan: r\n")
    monkeypatch.setenv("YOKE_PROJECT__NAME", "e")
    monkeypatch.setenv("YOKE_AGENTS__DEFAULT", "e")
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://e")
    settings = load_config(tmp_path, {"project.name": "f", "plan": None})
    config = settings.config
    assert (config.project.name, config.agents.default, config.plan) == ("f", "e", "r")
    assert (config.cost.default_model, config.project.target) == ("u", "u")
    assert config.database.url == "postgresql://e"
    assert [settings.origins[key] for key in keys] == [
        "flag",
        "environment YOKE_AGENTS__DEFAULT",
        str(tmp_path / FILE_NAME),
        str(user),
        "environment YOKE_DATABASE_URL",
    ]
    assert settings.files == (user, tmp_path / FILE_NAME)


def test_mappings_are_laid_over_each_other_and_lists_replace(tmp_path, user):
    user.write_text("cost: {model_overrides: {docs: a, code: b}}\nchecks: {task: [x, y]}\n")
    (tmp_path / FILE_NAME).write_text("cost: {model_overrides: {docs: c}}\nchecks: {task: [z]}\n")
    settings = load_config(tmp_path)
    assert settings.config.cost.model_overrides == {"docs": "c", "code": "b"}
    assert settings.config.checks.task == ("z",)
    assert settings.origins["cost.model_overrides.code"] == str(user)


def test_an_empty_section_does_not_hide_the_weaker_file(tmp_path, user):
    user.write_text("parallel: {max_concurrency: 7}\n")
    (tmp_path / FILE_NAME).write_text("parallel:\n")
    assert load_config(tmp_path).config.parallel.max_concurrency == 7


def test_environment_values_are_yaml(tmp_path, monkeypatch):
    monkeypatch.setenv("YOKE_PARALLEL__MAX_CONCURRENCY", "9")
    monkeypatch.setenv("YOKE_PARALLEL__ENABLED", "false")
    monkeypatch.setenv("YOKE_PARALLEL__STRATEGY", "smart")
    monkeypatch.setenv("YOKE_CHECKS__TASK", "[make test, 'a: b']")
    monkeypatch.setenv("YOKE_AGENTS__OPTIONS__CLAUDE__PROGRAM", "/opt/claude")
    monkeypatch.setenv("YOKE_AGENTS__TIMEOUT", "2h")
    monkeypatch.setenv("YOKE_PROJECT__NAME", "")
    config = load_config(tmp_path).config
    assert (config.parallel.max_concurrency, config.parallel.enabled) == (9, False)
    assert config.parallel.strategy is Strategy.SMART
    assert config.checks.task == ("make test", "a: b")
    assert config.agents.options["claude"].program == "/opt/claude"
    assert (config.agents.timeout, config.project.name) == (7200, None)


@pytest.mark.parametrize(
    "name",
    [
        "YOKE_HOME",
        "YOKE_PLUGINS",
        "YOKE_TASK",
        "YOKE_SESSION",
        "YOKE_EPIC",
        "YOKE_RUN",
        "YOKE_OF_SOMEBODY_ELSE",
    ],
)
def test_variables_that_are_no_settings(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, str(tmp_path))
    assert load_config(tmp_path).config == Config()


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("YOKE_PARALLEL__MAX_CONCURENCY", "3", "no such setting", "`YOKE_PARALLEL__MAX_CONCURRENCY`"),
        ("YOKE_PARALLEL_MAX_CONCURRENCY", "3", "no such setting", "`YOKE_PARALLEL__MAX_CONCURRENCY`"),
        ("YOKE_NOTHING__LIKE_IT", "3", "no such setting", ""),
        ("YOKE_PARALLEL__MAX_CONCURRENCY", "many", "whole number", "such as 3"),
        ("YOKE_CHECKS__TASK", "make", "must be a list", "[make]"),
        ("YOKE_CHECKS__TASK", "[make", "no valid YAML", "quotes"),
    ],
)
def test_wrong_variables(tmp_path, monkeypatch, name, value, message, hint):
    monkeypatch.setenv(name, value)
    (problem,) = problems(tmp_path)
    assert (str(problem.path), problem.line, problem.key) == ("environment", 0, name)
    assert message in problem.message
    assert hint in problem.hint


def test_every_problem_of_every_source_at_once(tmp_path, user, monkeypatch):
    user.write_text("plan: 3\n")
    (tmp_path / FILE_NAME).write_text(
        """\
parallel:
  max_concurency: 3
  max_concurrency: 900
  strategy: by_epics
  worktree_dir: ../out
agents:
  timeout: soon
  options:
    claude: {promt: file}
learning: {self_improve_interval: hourly}
cost: [1]
"""
    )
    monkeypatch.setenv("YOKE_HOOKS__COMMIT", "perhaps")
    found = problems(tmp_path, {"parallel.strategy": "by_taks"})
    repository = tmp_path / FILE_NAME
    assert [(each.path.name, each.line, each.key) for each in found] == [
        (user.name, 1, "plan"),
        (FILE_NAME, 2, "parallel.max_concurency"),
        (FILE_NAME, 3, "parallel.max_concurrency"),
        (FILE_NAME, 4, "parallel.strategy"),
        (FILE_NAME, 5, "parallel.worktree_dir"),
        (FILE_NAME, 7, "agents.timeout"),
        (FILE_NAME, 9, "agents.options.claude.promt"),
        (FILE_NAME, 10, "learning.self_improve_interval"),
        (FILE_NAME, 11, "cost"),
        ("environment", 0, "YOKE_HOOKS__COMMIT"),
        ("command line", 0, "parallel.strategy"),
    ]
    hints = {each.key: each.hint for each in found if each.path == repository}
    assert hints["parallel.max_concurency"] == "did you mean `max_concurrency`?"
    assert hints["parallel.strategy"] == "did you mean `by_epic`?"
    assert hints["agents.options.claude.promt"] == "did you mean `prompt`?"
    assert all(each.hint for each in found)


def test_a_flag_for_no_key(tmp_path):
    (problem,) = problems(tmp_path, {"parallel.max": 3})
    assert problem.key == "parallel.max"


def test_a_list_instead_of_a_mapping(tmp_path):
    (tmp_path / FILE_NAME).write_text("- a\n")
    (problem,) = problems(tmp_path)
    assert (problem.line, problem.message) == (1, "must be a mapping, not a list")


def test_root_is_found_from_inside(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert find_root(inside) is None
    (tmp_path / "a" / ".git").write_text("gitdir: elsewhere\n")
    assert find_root(inside) == tmp_path / "a"


def test_a_bare_repository_is_its_own_root_and_a_git_folder_is_not(tmp_path):
    bare, plain = tmp_path / "bare.git", tmp_path / "plain"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    subprocess.run(["git", "init", "-q", plain], check=True)
    assert find_root(bare / "refs" / "heads") == bare
    assert find_root(plain / ".git" / "refs") == plain


async def test_the_root_is_the_one_that_git_says(tmp_path):
    """From a main checkout, its linked worktree, a submodule, and a worktree of a bare repository."""

    def git(*args):
        subprocess.run(["git", "-c", "protocol.file.allow=always", *args], check=True, capture_output=True)

    main, linked, module = tmp_path / "main", tmp_path / "linked", tmp_path / "main" / "module"
    bare, of_bare, of_module = tmp_path / "bare" / ".git", tmp_path / "bare" / "tree", tmp_path / "of_module"
    git("init", "-q", main)
    git("-C", main, "commit", "-q", "--allow-empty", "-m", "Start")
    git("-C", main, "worktree", "add", "-q", linked)
    git("clone", "-q", "--bare", main, bare)
    git("-C", bare, "worktree", "add", "-q", of_bare)
    git("-C", main, "submodule", "add", "-q", bare, "module")
    git("-C", module, "worktree", "add", "-q", of_module)
    (linked / "deep").mkdir()
    for start, root in {
        main: main,
        linked: main,
        linked / "deep": main,
        module: module,
        of_module: module,
        of_bare: of_bare,
    }.items():
        assert (find_root(start), (await Repo.discover(start)).root) == (root, root), start


def test_the_hint_fits_where_the_value_came_from(tmp_path, monkeypatch):
    def hint(overrides=None):
        with pytest.raises(DocumentError) as caught:
            load_config(tmp_path, overrides)
        return caught.value.message.partition(":")[0], caught.value.hint

    wrong = {"parallel.max_concurrency": 0}
    assert hint(wrong) == ("1 problem in command line", "correct the option and try again")
    monkeypatch.setenv("YOKE_PARALLEL__MAX_CONCURRENCY", "none")
    assert hint() == ("1 problem in environment", "correct or unset the variable and try again")
    assert hint(wrong)[0] == "2 problems in environment and command line"
    assert "what is named" in hint(wrong)[1]
    monkeypatch.delenv("YOKE_PARALLEL__MAX_CONCURRENCY")
    (tmp_path / FILE_NAME).write_text("parallel: {max_concurrency: 0}\n")
    assert hint() == ("1 problem in .yokeflow.yaml", "correct the file and try again")


@pytest.mark.parametrize(
    "prefix", ["''", "/a", "a//", "a/../b", "-a", "a b/", "lane/", "refs/heads/", "a.lock/", "é/", "5"]
)
def test_a_prefix_that_git_would_refuse(tmp_path, prefix):
    (tmp_path / FILE_NAME).write_text(f"project:\n  branch_prefix: {prefix}\n")
    (problem,) = problems(tmp_path)
    assert (problem.line, problem.key) == (2, "project.branch_prefix")
    assert problem.hint


@pytest.mark.parametrize("prefix", ["epic/", "team/epic-", "x"])
def test_a_prefix_that_git_takes(tmp_path, prefix):
    (tmp_path / FILE_NAME).write_text(f"project: {{branch_prefix: {prefix}}}\n")
    assert load_config(tmp_path).config.project.branch_prefix == prefix


@pytest.mark.parametrize("folder", ["/tmp/x", "../x", ".", "''", ".git/trees", "a/../../b"])
def test_worktrees_stay_inside(tmp_path, folder):
    (tmp_path / FILE_NAME).write_text(f"parallel:\n  worktree_dir: {folder}\n")
    (problem,) = problems(tmp_path)
    assert (problem.line, problem.key) == (2, "parallel.worktree_dir")


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("cost: {budgets: {run: {usd: true}}}", "true is no amount of dollars", "like 0.5 or 20"),
        ("cost: {budgets: {run: {usd: .inf}}}", "'.inf' is no amount of dollars", "like 0.5 or 20"),
        ("cost: {budgets: {run: {usd: nan}}}", "'nan' is no amount of dollars", "like 0.5 or 20"),
        ("cost: {budgets: {run: {usd: 1e300}}}", "more than can be kept", "less than 1000000"),
        ("cost: {budgets: {run: {usd: 1000000}}}", "more than can be kept", "less than 1000000"),
        ("cost: {session_cap_usd: 1e400}", "more than can be kept", "less than 1000000"),
        ("cost: {session_limit_usd: 0.0000001}", "less than can be kept", "0, or 0.000001"),
        ("cost: {budgets: {day: {tokens: 99999999999999999999999}}}", "at most 9223372036854775807", ""),
        ("cost: {budgets: {day: {tokens: 1.5}}}", "1.5 is no whole number", "200k or 1.5M"),
        ("cost: {budgets: {day: {tokens: '1.5'}}}", "'1.5' is no whole number", "200k or 1.5M"),
        ("cost: {budgets: {day: {sessions: true}}}", "a number, not true", "such as 1"),
        ("cost: {warn_at: [true]}", "a number, not true", "such as 1"),
        ("agents: {max_attempts: true}", "a number, not true", "such as 1"),
        ("learning: {self_improve_interval: true}", "not true", ""),
        ("models: {prior_sessions: inf}", "a finite number", ""),
    ],
)
def test_numbers_that_nobody_can_mean(tmp_path, written, message, hint):
    (tmp_path / FILE_NAME).write_text(written)
    (problem,) = problems(tmp_path)
    assert (problem.line, message in problem.message, hint in problem.hint) == (1, True, True), problem


def test_the_largest_and_smallest_amounts_that_can_be_kept(tmp_path):
    text = "cost: {session_limit_usd: 999999.999999, budget_limit_usd: 0, session_cap_usd: 0.000001}\n"
    (tmp_path / FILE_NAME).write_text(text)
    cost = load_config(tmp_path).config.cost
    assert (cost.session_limit_usd, cost.budget_limit_usd, cost.session_cap_usd) == (999999.999999, 0, 1e-6)


@pytest.mark.parametrize(
    ("written", "key", "message", "hint"),
    [
        ("models: {thresholds: [0.3]}", "models.thresholds", "a list of 2 values, not of 1", "all of them"),
        ("models: {thresholds: []}", "models.thresholds", "a list of 2 values, not of 0", "all of them"),
        ("models: {thresholds: [0, 0, 1]}", "models.thresholds", "of 2 values, not of 3", "of 2 values"),
        (
            "models: {thresholds: [0.7, 0.3]}",
            "models.thresholds",
            "0.7 is more than 0.3",
            "smaller one first",
        ),
        ("cost: {critical_override: [a]}", "cost.critical_override", "text, not a list", "write one value"),
        ("models: {prior_sessions: .inf}", "models.prior_sessions", "not '.inf'", "a number such as 0.5"),
        ("agents: {profiles: {'': {}}}", 'agents.profiles.""', "is no name", "small letters"),
        ("cost: {prices: {'': {input: 1, output: 1}}}", 'cost.prices.""', "a name is empty", "write one"),
        ("cost: {default_model: ''}", "cost.default_model", "a name is empty", "remove the key"),
        (
            *("cost: {priority_overrides: {urgent: fast}}", "cost.priority_overrides.urgent"),
            *("'urgent' is no priority", "0 to 9, or critical, high, normal, low"),
        ),
        (
            *("cost: {priority_overrides: {12: fast}}", "cost.priority_overrides.12"),
            *("'12' is no priority", "0 to 9"),
        ),
    ],
)
def test_remedies_fit_what_was_written(tmp_path, written, key, message, hint):
    (tmp_path / FILE_NAME).write_text(written)
    (problem,) = problems(tmp_path)
    assert (problem.key, message in problem.message, hint in problem.hint) == (key, True, True), problem


@pytest.mark.parametrize(
    ("written", "key", "near"),
    [
        ("cost:\n  model_overrides: {docs: fasst}", "cost.model_overrides.docs", "fast"),
        ("cost:\n  priority_overrides: {low: Fast}", "cost.priority_overrides.low", "fast"),
        ("cost:\n  critical_override: powerfull", "cost.critical_override", "powerful"),
        ("cost:\n  default_model: balnced", "cost.default_model", "balanced"),
        ("agents:\n  profiles: {a: {model: fst}}", "agents.profiles.a.model", "fast"),
    ],
)
def test_a_misspelt_tier_is_no_model(tmp_path, written, key, near):
    (tmp_path / FILE_NAME).write_text(written)
    (problem,) = problems(tmp_path)
    assert (problem.line, problem.key) == (2, key)
    assert f"did you mean `{near}`?" in problem.hint


def test_models_that_are_known_or_unlike_any_tier_are_taken(tmp_path, monkeypatch):
    (tmp_path / FILE_NAME).write_text(
        "models: {tiers: {codex: {fast: fasst}}}\n"
        "cost:\n  prices: {powerfull: {input: 1, output: 2}}\n"
        "  model_overrides: {a: fasst, b: powerfull, c: haiku, d: grok-fast-1, e: gpt-5, f: fast-1}\n"
    )
    assert len(load_config(tmp_path).config.cost.model_overrides) == 6
    monkeypatch.setenv("YOKE_COST__DEFAULT_MODEL", "sonnet-5")
    assert load_config(tmp_path).config.cost.default_model == "sonnet-5"
    monkeypatch.setenv("YOKE_COST__DEFAULT_MODEL", "faast")
    (problem,) = problems(tmp_path)
    assert problem.key == "YOKE_COST__DEFAULT_MODEL"
