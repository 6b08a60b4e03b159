"""What a plan file means, and every way in which it can be wrong."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yokeflow.errors import DocumentError
from yokeflow.model import Dependency, Epic, Plan, Strength, Task
from yokeflow.plan.checks import id_fault
from yokeflow.plan.export import to_yaml
from yokeflow.plan.load import load_plan


@pytest.fixture
def load(tmp_path):
    """Load a plan from text."""

    def load(text, **options):
        file = tmp_path / "plan.yaml"
        file.write_text(text, encoding="utf-8")
        return load_plan(file, **options)

    return load


@pytest.fixture
def problems(load):
    """Problems of a plan that is wrong."""

    def problems(text, **options):
        with pytest.raises(DocumentError) as caught:
            load(text, **options)
        assert all(problem.hint for problem in caught.value.problems)
        return caught.value.problems

    return problems


def test_every_key_of_the_contract(load):
    plan = load(
        """\
epics:
  - id: schema
    tasks:
      - {id: schema.users, title: Users}
  - id: docs
    tasks:
      - {id: docs.style, run: ./style.sh}
  - id: auth
    title: Sign-in
    depends_on: [schema]
    tasks:
      - id: auth.model
        title: User model
        prompt: Add the User model
        run: ./scripts/make-model.sh
        depends_on:
          - schema.users
          - {task: docs.style, type: soft, reason: reads better}
          - {epic: docs, type: related}
        files: [src/models/user.py, "tests/**"]
        conflicts_with: [schema.users]
        category: code
        priority: 2
        estimate: 30m
        agent: claude
        model: sonnet
        profile: coder
        needs: [sql, docker]
        critical: true
        verify: ["pytest -q tests/test_user.py"]
        timeout: 20m
        allow_empty: true
        approve: after
"""
    )
    assert [epic.id for epic in plan.epics] == ["schema", "docs", "auth"]
    assert plan.epic["auth"].depends_on == (Dependency("schema"),)
    assert (plan.epic["schema"].title, plan.epic["auth"].position) == ("schema", 2)
    assert plan.tasks["auth.model"] == Task(
        id="auth.model",
        epic="auth",
        title="User model",
        prompt="Add the User model",
        run="./scripts/make-model.sh",
        depends_on=(
            Dependency("schema.users"),
            Dependency("docs.style", Strength.SOFT, "reads better"),
            Dependency("docs", Strength.RELATED),
        ),
        files=("src/models/user.py", "tests/**"),
        conflicts_with=("schema.users",),
        category="code",
        priority=2,
        estimate=1800,
        agent="claude",
        model="sonnet",
        profile="coder",
        needs=("sql", "docker"),
        critical=True,
        verify=("pytest -q tests/test_user.py",),
        timeout=1200,
        allow_empty=True,
        approve="after",
        position=2,
    )


@pytest.mark.parametrize(
    ("said", "title", "prompt"),
    [
        ("title: T", "T", "T"),
        ("prompt: |\n          Do it.\n          Now.", "Do it.", "Do it.\nNow."),
        ("run: make x", "make x", ""),
        ("title: T, run: make x", "T", ""),
    ],
)
def test_what_is_to_be_done_may_be_said_in_any_key(load, said, title, prompt):
    task = f"{{id: b, {said}}}" if "\n" not in said else f"id: b\n        {said}"
    found = load(f"epics:\n  - id: a\n    tasks:\n      - {task}\n").tasks["b"]
    assert (found.title, found.prompt.strip()) == (title, prompt)


def test_a_wrong_word_for_approval_is_told_with_its_line(load):
    with pytest.raises(DocumentError) as error:
        load("epics:\n  - id: a\n    approve: befor\n    tasks:\n      - {id: b, title: B, approve: 1}\n")
    epic, task = error.value.problems
    assert (epic.line, epic.key, epic.hint) == (3, "epics[0].approve", "did you mean `before`?")
    assert (task.line, task.key) == (5, "epics[0].tasks[0].approve")


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("critical", 0),
        ("high", 2),
        ("normal", 5),
        ("low", 8),
        ("P0", 0),
        ("p1", 2),
        ("P2", 5),
        (0, 0),
        (9, 9),
    ],
)
def test_priority(load, word, number):
    plan = load(f"epics: [{{id: a, tasks: [{{id: b, title: t, priority: {word}}}]}}]")
    assert plan.tasks["b"].priority == number


def test_ids_that_yaml_1_1_takes_for_something_else(load):
    plan = load(
        "epics: [{id: yes, tasks: [{id: 007, title: on}, {id: 2024-01-01, title: off, depends_on: [007]}]}]"
    )
    assert list(plan.tasks) == ["007", "2024-01-01"]


TASK = "epics:\n  - id: e\n    tasks:\n      - id: t\n        title: T\n        "
EPIC = "epics:\n  - id: e\n    tasks: [{id: t, title: T}]\n    "
TWO = (
    "epics:\n  - {id: a, tasks: [{id: a1, title: T}, {id: a2, title: T}]}\n"
    "  - {id: b, tasks: [{id: b1, title: T}]}\n"
)

BAD = [
    # text, line, key, fragment of the message, fragment of the hint
    ("", 1, "", "plan is empty", "epics:"),
    (
        'epics: [{id: e, tasks: [{id: t, title: "x\\n\\nYoke-Task: other"}]}]',
        1,
        "epics[0].tasks[0].title",
        "a title is one line",
        "prompt",
    ),
    (
        f"epics: [{{id: e, tasks: [{{id: t, title: {'x' * 201}}}]}}]",
        1,
        "epics[0].tasks[0].title",
        "at most 200",
        "prompt",
    ),
    ("epics: []", 1, "", "plan is empty", "epics:"),
    ("- a", 1, "", "must be a mapping, not a list", "key: value"),
    ("epics: {a: b}", 1, "epics", "must be a list", "- id:"),
    ("epics:\n  - 5", 2, "epics[0]", "must be a mapping", ""),
    ("epic:\n  - id: a", 1, "epic", "no key `epic`", "`epics`"),
    ("epics:\n  - id: a", 2, "epics[0]", "no tasks", "add a task"),
    ("epics:\n  - id: a\n    tasks: x", 3, "epics[0].tasks", "must be a list", "- id:"),
    ("epics:\n  - tasks: [{id: t, title: T}]", 2, "epics[0].id", "missing", "add `id"),
    (EPIC + "titel: x", 4, "epics[0].titel", "no key `titel`", "`title`"),
    (EPIC + "depends_on: t", 4, "epics[0].depends_on", "must be a list", "[t]"),
    (EPIC + "depends_on: [t]", 4, "epics[0].depends_on[0]", "its own task", "remove it"),
    (EPIC + "depends_on: [e]", 4, "epics[0].depends_on[0]", "on itself", "remove it"),
    (EPIC + "depends_on:\n    - tt", 5, "epics[0].depends_on[0]", "no epic or task `tt`", "`t`"),
    (TASK + "depends_on: [e]", 6, "epics[0].tasks[0].depends_on[0]", "own epic", "tasks of the epic"),
    (TASK + "depends_on: [t]", 6, "epics[0].tasks[0].depends_on[0]", "on itself", "remove"),
    (TASK + "depends_on: [5]", 6, "epics[0].tasks[0].depends_on[0]", "must be text, not 5", '"5"'),
    (
        TASK + "depends_on: [{task: t, typ: soft}]",
        6,
        "epics[0].tasks[0].depends_on[0].typ",
        "no key",
        "`type`",
    ),
    (
        TASK + "depends_on: [{type: soft}]",
        6,
        "epics[0].tasks[0].depends_on[0]",
        "one predecessor",
        "either `task:`",
    ),
    (
        TASK + "depends_on: [{task: x, epic: y}]",
        6,
        "epics[0].tasks[0].depends_on[0]",
        "one predecessor",
        "either",
    ),
    (
        TASK + "depends_on: [{task: t, type: sof}]",
        6,
        "epics[0].tasks[0].depends_on[0].type",
        "one of hard",
        "`soft`",
    ),
    (TASK + "estimate: soon", 6, "epics[0].tasks[0].estimate", "'soon' is no duration", "1h30m"),
    (TASK + "estimate: 0", 6, "epics[0].tasks[0].estimate", "more than 0", "more than 0"),
    (TASK + "timeout: 20 minutes", 6, "epics[0].tasks[0].timeout", "no duration", "30m"),
    (TASK + "priority: urgent", 6, "epics[0].tasks[0].priority", "no priority", "critical"),
    (TASK + "priority: hihg", 6, "epics[0].tasks[0].priority", "no priority", "`high`"),
    (TASK + "priority: 10", 6, "epics[0].tasks[0].priority", "at most 9", "at most 9"),
    (TASK + "priority: true", 6, "epics[0].tasks[0].priority", "no priority", "0 (first)"),
    (TASK + "critical: maybe", 6, "epics[0].tasks[0].critical", "true or false", "true or false"),
    (TASK + "category: 5", 6, "epics[0].tasks[0].category", "must be text", '"5"'),
    (TASK + "category:", 6, "epics[0].tasks[0].category", "not empty", "remove the key"),
    (TASK + "files: [/etc/passwd]", 6, "epics[0].tasks[0].files[0]", "is absolute", "relative"),
    (TASK + 'files: ["C:\\\\x"]', 6, "epics[0].tasks[0].files[0]", "is absolute", "relative"),
    (TASK + "files: [~/x]", 6, "epics[0].tasks[0].files[0]", "is absolute", "relative"),
    (TASK + "files: [a, b/../../c]", 6, "epics[0].tasks[0].files[1]", "leaves the repository", "relative"),
    (TASK + "files: [.git/config]", 6, "epics[0].tasks[0].files[0]", "git's own", "relative"),
    (TASK + "files: ['']", 6, "epics[0].tasks[0].files[0]", "no glob", "relative"),
    (TASK + "verify: ['  ']", 6, "epics[0].tasks[0].verify[0]", "no command", "remove"),
    (TASK + "conflicts_with: [u]", 6, "epics[0].tasks[0].conflicts_with[0]", "no task `u`", "known: e, t"),
    (
        TASK + "conflicts_with: [t]",
        6,
        "epics[0].tasks[0].conflicts_with[0]",
        "the task itself",
        "other tasks",
    ),
    (TASK + "conflicts_with: [e]", 6, "epics[0].tasks[0].conflicts_with[0]", "an epic", "other tasks"),
    (TASK + "title: again", 6, "epics[0].tasks[0].title", "given twice, first on line 5", "keep one"),
    ("epics: [{id: e, tasks: [{id: t}]}]", 1, "epics[0].tasks[0]", "what is to be done", "prompt"),
    (
        "epics: [{id: e, tasks: [{id: t, title: ' '}]}]",
        1,
        "epics[0].tasks[0]",
        "what is to be done",
        "prompt",
    ),
    (TWO + "  - {id: a, tasks: [{id: x, title: T}]}", 4, "epics[2].id", "used on line 2", "choose another"),
    (
        TWO + "  - {id: c, tasks: [{id: a1, title: T}]}",
        4,
        "epics[2].tasks[0].id",
        "used on line 2",
        "choose another",
    ),
    (TWO + "  - {id: b1, tasks: [{id: x, title: T}]}", 4, "epics[2].id", "used on line 3", "one set of ids"),
    (
        TWO + "  - {id: B, tasks: [{id: x, title: T}]}",
        4,
        "epics[2].id",
        "epic/b and epic/B differ only",
        "rename",
    ),
    (
        TWO + "  - {id: c, depends_on: [a, a], tasks: [{id: x, title: T}]}",
        4,
        "epics[2].depends_on[1]",
        "twice",
        "keep",
    ),
    (
        TWO + "  - {id: c, depends_on: [{task: a, type: soft}], tasks: [{id: x, title: T}]}",
        4,
        "epics[2].depends_on[0]",
        "`a` is no task",
        "`epic: a`",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "message", "hint"), BAD)
def test_bad_input(problems, text, line, key, message, hint):
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "name", ["-a", ".a", "a b", "a/b", "a..b", "a.lock", "a.LOCK", "a.", "a@b", "é", "a~1", "x" * 201]
)
def test_ids_that_cannot_name_a_branch(problems, name):
    (problem,) = problems(f"epics:\n  - id: e\n    tasks:\n      - id: '{name}'\n        title: T\n")
    assert (problem.line, problem.key) == (4, "epics[0].tasks[0].id")
    assert "the id" in problem.message


@pytest.mark.parametrize("name", ["a", "A1", "0", "a.b-c_d", "x" * 200, "a.locked", "lock"])
def test_ids_that_can(name):
    assert id_fault(name) == ""


def test_a_branch_inside_another(problems):
    found = problems(
        "epics:\n  - {id: a, tasks: [{id: x, title: T}]}\n  - {id: a/b, tasks: [{id: y, title: T}]}\n"
    )
    assert [(each.line, each.key) for each in found] == [(3, "epics[1].id")] * 2
    assert "branch epic/a cannot exist beside epic/a/b" in found[1].message


def test_branches_carry_the_configured_prefix(problems):
    text = "epics:\n  - {id: a, tasks: [{id: x, title: T}]}\n  - {id: A, tasks: [{id: y, title: T}]}\n"
    assert "team/yoke-a and team/yoke-A" in problems(text, branch_prefix="team/yoke-")[0].message


@pytest.mark.parametrize(
    ("edges", "path"),
    [
        ({"a1": "[b1]", "b1": "[a1]"}, "a1 -> b1 -> a1"),
        ({"a": "[b]", "b": "[a]"}, "a -> b -> a"),
        ({"a": "[b]", "b1": "[a1]"}, "a -> b -> b1 -> a1 -> a"),
        ({"a1": "[b]", "b": "[a2]", "a2": "[a1]"}, "a1 -> b -> a2 -> a1"),
        ({"a": "[b1]", "b1": "[c]", "c": "[a2]"}, "a -> b1 -> c -> a2 -> a"),
        ({"a": "[b]", "b": "[c]", "c": "[{epic: a, reason: x}]"}, "a -> b -> c -> a"),
    ],
)
def test_a_cycle_is_shown_as_a_path(problems, edges, path):
    def text(name):
        return f"depends_on: {edges[name]}" if name in edges else "title: T"

    lines = ["epics:"]
    for epic, tasks in {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1"]}.items():
        listed = ", ".join(f"{{id: {task}, prompt: P, {text(task)}}}" for task in tasks)
        lines.append(f"  - {{id: {epic}, {text(epic)}, tasks: [{listed}]}}")
    (problem,) = problems("\n".join(lines))
    assert problem.message == f"dependency cycle: {path}"
    assert problem.key.endswith("depends_on[0]")
    assert problem.line == {"a": 2, "b": 3, "c": 4}[path[0]]


def test_soft_and_related_edges_make_no_cycle(load):
    plan = load(
        "epics:\n  - id: a\n    tasks:\n"
        "      - {id: x, title: T, depends_on: [y]}\n"
        "      - {id: y, title: T, depends_on: [{task: x, type: soft}, {task: z, type: related}]}\n"
        "      - {id: z, title: T, depends_on: [{task: y, type: related}]}\n"
    )
    assert len(plan.tasks) == 3


def test_separate_and_entangled_cycles_are_all_told(problems):
    found = problems(
        "epics:\n  - id: a\n    depends_on: [b]\n    tasks:\n"
        "      - {id: x, title: T, depends_on: [y]}\n"
        "      - {id: y, title: T, depends_on: [x]}\n"
        "  - id: b\n    depends_on: [a]\n    tasks: [{id: z, title: T}]\n"
        "  - id: c\n    tasks:\n"
        "      - {id: p, title: T, depends_on: [q]}\n"
        "      - {id: q, title: T, depends_on: [p]}\n"
    )
    assert {each.message.removeprefix("dependency cycle: ") for each in found} == {
        "a -> b -> a",
        "x -> y -> x",
        "p -> q -> p",
    }


def test_all_problems_of_a_file_at_once(problems):
    found = problems(
        """\
epics:
  - id: auth
    titel: Sign-in
    depends_on: [schema, {task: schema, type: hrd}, biling]
    tasks:
      - id: auth.model
        prompt: P
        estimate: soonish
        files: [/etc/passwd, src, ../x]
        depends_on: [schema.user, 12]
      - id: auth.model
        prompt: P
      - title: no id
  - 5
  - id: schema
    depends_on: [auth]
    tasks:
      - {id: schema.users, title: x, run: 5}
  - id: billing
    tasks: []
"""
    )
    assert [(each.line, each.key) for each in found] == [
        (3, "epics[0].titel"),
        (4, "epics[0].depends_on[1].type"),
        (4, "epics[0].depends_on[2]"),
        (4, "epics[0].depends_on[0]"),
        (8, "epics[0].tasks[0].estimate"),
        (9, "epics[0].tasks[0].files[0]"),
        (9, "epics[0].tasks[0].files[2]"),
        (10, "epics[0].tasks[0].depends_on[1]"),
        (10, "epics[0].tasks[0].depends_on[0]"),
        (11, "epics[0].tasks[1].id"),
        (13, "epics[0].tasks[2].id"),
        (14, "epics[1]"),
        (18, "epics[2].tasks[0].run"),
        (19, "epics[3]"),
    ]
    hints = {each.key: each.hint for each in found}
    assert hints["epics[0].depends_on[2]"] == "did you mean `billing`?"
    assert hints["epics[0].tasks[0].depends_on[0]"] == "did you mean `schema.users`?"


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(DocumentError) as caught:
        load_plan(tmp_path / "plan.yaml")
    assert "yoke init" in caught.value.hint


def many(epics, tasks):
    """Text of a plan in which each epic waits for the one before, each task for two."""
    lines = ["epics:"]
    for e in range(epics):
        lines += [f"  - id: e{e}", f"    depends_on: [{f'e{e - 1}' if e else ''}]", "    tasks:"]
        for t in range(tasks):
            before = ", ".join(f"e{e}.{i}" for i in range(max(t - 2, 0), t))
            lines.append(f"      - {{id: e{e}.{t}, title: T, depends_on: [{before}], files: [src/f{t}.py]}}")
    return "\n".join(lines)


def test_ten_thousand_tasks(load):
    text = many(100, 100)
    started = time.monotonic()
    plan = load(text)
    assert time.monotonic() - started < 10
    assert len(plan.tasks) == 10_000


def test_thousands_of_mistakes(problems):
    text = many(30, 100).replace("[e", "[ee").replace(", e", ", ee")
    started = time.monotonic()
    assert len(problems(text)) > 3_000
    assert time.monotonic() - started < 10


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
titles = texts.map(lambda text: text.replace("\n", "").replace("\r", "")[:200] or "T")
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
spans = st.none() | st.integers(1, 10**7) | st.floats(0.001, 1e6)


@st.composite
def plans(draw):
    """Valid plans: every edge leads to an earlier epic or task."""
    names = draw(st.lists(words, min_size=1, max_size=4, unique_by=str.casefold))
    known_epics: list[str] = []
    known_tasks: list[str] = []
    epics: list[Epic] = []
    position = 0
    for i, name in enumerate(names):
        outside = [*known_epics, *known_tasks]
        tasks: list[Task] = []
        for t in range(draw(st.integers(1, 3))):
            task = draw(tasks_of(f"{name}.{t}", name, [*outside, *(each.id for each in tasks)], known_tasks))
            tasks.append(replace(task, position=position))
            position += 1
        title = draw(titles)
        approve = draw(st.sampled_from(("", "before", "after")))
        epics.append(Epic(name, title, draw(edges(outside)), tuple(tasks), i, approve))
        known_epics.append(name)
        known_tasks += [task.id for task in tasks]
    return Plan(tuple(epics), Path("plan.yaml"))


def edges(names):
    if not names:
        return st.just(())
    one = st.builds(Dependency, st.sampled_from(names), st.sampled_from(Strength), st.just("") | texts)
    return st.lists(one, max_size=3, unique_by=lambda each: each.predecessor).map(tuple)


def tasks_of(name, epic, before, others):
    several = st.lists(st.sampled_from(others), max_size=2).map(tuple) if others else st.just(())
    return st.builds(
        Task,
        id=st.just(name),
        epic=st.just(epic),
        title=titles,
        prompt=texts.filter(str.strip),
        run=st.just("") | texts,
        depends_on=edges(before),
        files=st.lists(words.map("src/{}/*.py".format), max_size=2).map(tuple),
        conflicts_with=several,
        category=st.just("") | texts,
        priority=st.integers(0, 9),
        estimate=spans,
        agent=st.just("") | texts,
        model=st.just("") | texts,
        profile=st.just("") | texts,
        needs=st.lists(texts.filter(str.strip), max_size=2).map(tuple),
        critical=st.booleans(),
        verify=st.lists(texts.filter(str.strip), max_size=2).map(tuple),
        timeout=spans,
        allow_empty=st.booleans(),
        approve=st.sampled_from(("", "before", "after")),
    )


@settings(deadline=None, max_examples=40)
@given(plans())
def test_any_plan_survives_the_way_through_its_file(plan):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(to_yaml(plan), encoding="utf-8", newline="")
        assert load_plan(file).epics == plan.epics


scraps = st.sampled_from(
    [
        "epics:",
        "  - id: a",
        "    tasks:",
        "      - id: b",
        "        title: x",
        "        depends_on: [a, b]",
        "- 5",
        "    depends_on:",
        "null",
        "{}",
        "[]",
        "&x",
        "*x",
        "<<: *x",
        "        priority: [1]",
        "        files: {a: b}",
    ]
)


@settings(deadline=None, max_examples=80)
@given(st.lists(scraps | st.text(max_size=20), max_size=12).map("\n".join))
def test_any_text_is_a_plan_or_a_document_error(text):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(text, encoding="utf-8", newline="")
        try:
            plan = load_plan(file)
        except DocumentError:
            return
        assert plan.tasks
