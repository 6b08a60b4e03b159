from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import yoke_resolver
from yoke_resolver.resolve import resolve
from yokeflow.config import Config
from yokeflow.errors import DocumentError
from yokeflow.model import Dependency, Epic, Plan, Resolution, Strategy, Strength, Task
from yokeflow.plan.load import load_plan
from yokeflow.predecessors import Predecessors

S3 = Path(__file__).parent.parent / "fixtures" / "s3_plan.yaml"


def edges(spec: str) -> tuple[Dependency, ...]:
    """`a ~b` is a hard edge to a and a soft one to b; `?c` is a related one."""
    kinds = {"~": Strength.SOFT, "?": Strength.RELATED}
    return tuple(Dependency(name.lstrip("~?"), kinds.get(name[0], Strength.HARD)) for name in spec.split())


def plan_of(
    tasks: dict[str, str], *, epics: dict[str, str] | None = None, **fields: dict[str, object]
) -> Plan:
    """Tasks as `epic.name: edges`; `fields` are values of a Task's field by task."""
    names = dict.fromkeys([*(epics or {}), *(task.split(".")[0] for task in tasks)])
    made = [
        Task(
            id=name,
            epic=name.split(".")[0],
            title=name,
            depends_on=edges(spec),
            position=place,
            **{field: values[name] for field, values in fields.items() if name in values},  # type: ignore[arg-type]
        )
        for place, (name, spec) in enumerate(tasks.items())
    ]
    return Plan(
        tuple(
            Epic(
                name,
                name,
                edges((epics or {}).get(name, "")),
                tuple(t for t in made if t.epic == name),
                place,
            )
            for place, name in enumerate(names)
        ),
        Path("plan.yaml"),
    )


def hard(resolution: Resolution) -> dict[str, set[str]]:
    return {task: set(before) for task, before in resolution.hard.items()}


def order(plan: Plan, resolution: Resolution, names: str | None = None) -> list[str]:
    ready = [plan.tasks[name] for name in (names.split() if names else plan.tasks)]
    return list(yoke_resolver.order_ready(ready, resolution))


@pytest.mark.parametrize(
    ("tasks", "batches"),
    [
        ({"a.1": "", "a.2": "", "a.3": ""}, (("a.1", "a.2", "a.3"),)),
        ({"a.1": "", "a.2": "a.1", "a.3": "a.2"}, (("a.1",), ("a.2",), ("a.3",))),
        ({"a.1": "", "a.2": "a.1", "a.3": "a.1", "a.4": "a.2 a.3"}, (("a.1",), ("a.2", "a.3"), ("a.4",))),
        ({"a.1": "", "a.2": "~a.1 ?a.3", "a.3": ""}, (("a.1", "a.2", "a.3"),)),
        ({}, ()),
    ],
)
def test_batches_are_the_levels_of_the_hard_graph(
    tasks: dict[str, str], batches: tuple[tuple[str, ...], ...]
) -> None:
    assert resolve(plan_of(tasks), Strategy.BY_EPIC).batches == batches


def test_inside_a_batch_urgent_work_comes_first() -> None:
    plan = plan_of(
        {"a.low": "", "a.high": "", "a.first": "", "a.long": "", "a.after": "a.long"},
        priority={"a.low": 8, "a.high": 2, "a.first": 2, "a.long": 9},
    )
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert resolution.batches[0] == ("a.long", "a.high", "a.first", "a.low")
    assert order(plan, resolution, "a.low a.high a.first a.long") == ["a.long", "a.high", "a.first", "a.low"]


@pytest.mark.parametrize(
    ("tasks", "epics", "shown"),
    [
        ({"a.1": "a.3", "a.2": "a.1", "a.3": "a.2", "a.4": "a.3"}, {}, "a.1 -> a.2 -> a.3 -> a.1"),
        ({"a.1": "", "b.1": ""}, {"a": "b", "b": "a"}, "a -> b.1 -> b -> a.1 -> a"),
        ({"a.1": "b", "b.1": "a.1"}, {}, "a.1 -> b.1 -> b -> a.1"),
        ({"a.1": "a.1"}, {}, "a.1 -> a.1"),
    ],
)
def test_a_cycle_is_shown_as_a_path(tasks: dict[str, str], epics: dict[str, str], shown: str) -> None:
    with pytest.raises(DocumentError) as caught:
        resolve(plan_of(tasks, epics=epics), Strategy.BY_EPIC)
    path = caught.value.problems[0].message.removeprefix("dependencies form a cycle: ").split(" -> ")
    assert path[0] == path[-1]
    turns = [path[place:-1] + path[:place] for place in range(len(path) - 1)]
    assert shown.split(" -> ")[:-1] in turns
    assert caught.value.problems[0].hint


def test_an_unknown_predecessor_is_named() -> None:
    with pytest.raises(DocumentError, match=r"a\.1 depends on gone, which does not exist"):
        resolve(plan_of({"a.1": "gone"}), Strategy.BY_EPIC)


def test_edges_of_an_epic_are_inherited_by_its_tasks() -> None:
    plan = plan_of(
        {"a.1": "", "a.2": "a.1", "b.1": "", "b.2": "b.1", "c.1": "a", "d.1": ""},
        epics={"b": "a d.1", "a": ""},
    )
    assert hard(resolve(plan, Strategy.BY_EPIC)) == {
        "a.1": set(),
        "a.2": {"a.1"},
        "b.1": {"a.1", "a.2", "d.1"},
        "b.2": {"a.1", "a.2", "d.1", "b.1"},
        "c.1": {"a.1", "a.2"},
        "d.1": set(),
    }
    assert plan.tasks["b.1"].depends_on == ()


def test_an_epic_without_tasks_passes_on_what_it_waits_for() -> None:
    plan = plan_of({"a.1": "", "b.1": "", "c.1": "both"}, epics={"both": "a more", "more": "b"})
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert hard(resolution)["c.1"] == {"a.1", "b.1"}
    assert resolution.batches == (("a.1", "b.1"), ("c.1",))


def test_finished_work_is_satisfied_and_not_missing() -> None:
    plan = plan_of({"a.1": "", "a.2": "a.1", "b.1": "a.1", "b.2": "a"}, epics={"c": "a"})
    resolution = resolve(plan, Strategy.BY_EPIC, finished={"a.1", "a.2"})
    assert hard(resolution) == {"b.1": set(), "b.2": set()}
    assert resolution.batches == (("b.1", "b.2"),)
    assert set(resolution.lanes) == set(resolution.durations) == {"b.1", "b.2"}
    assert hard(resolve(plan, Strategy.BY_EPIC, finished={"a.1"}))["b.2"] == {"a.2"}
    assert resolve(plan, Strategy.BY_EPIC, finished=plan.tasks).critical_path == ()


def test_soft_predecessors_go_first_when_both_are_ready() -> None:
    plan = plan_of({"a.1": "~a.2", "a.2": "~a.3", "a.3": "", "a.4": "a.1"})
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert order(plan, resolution, "a.1 a.2 a.3") == ["a.3", "a.2", "a.1"]
    assert order(plan, resolution, "a.1 a.3") == ["a.1", "a.3"]
    assert resolution.soft["a.1"] == {"a.2"}


def test_soft_edges_of_epics_are_inherited_too() -> None:
    plan = plan_of({"a.1": "", "a.2": "", "b.1": ""}, epics={"a": "~b"})
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert dict(resolution.soft) == {"a.1": {"b.1"}, "a.2": {"b.1"}, "b.1": frozenset()}
    assert order(plan, resolution) == ["b.1", "a.1", "a.2"]


def test_soft_edges_that_would_close_a_cycle_are_dropped() -> None:
    plan = plan_of({"a.1": "~a.3", "a.2": "a.1 ~a.4", "a.3": "a.2", "a.4": "~a.2"}, epics={"b": "~b"})
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert dict(resolution.soft) == {
        "a.1": frozenset(),
        "a.2": {"a.4"},
        "a.3": frozenset(),
        "a.4": frozenset(),
    }


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), max_size=30))
def test_any_mixture_of_edges_gives_an_acyclic_answer(found: list[tuple[int, int, bool]]) -> None:
    spec = {
        f"a.{n}": " ".join(f"{'~' if soft or b >= n else ''}a.{b}" for a, b, soft in found if a == n)
        for n in range(8)
    }
    plan = plan_of(spec)
    resolution = resolve(plan, Strategy.BY_EPIC)
    seen: set[str] = set()
    left = dict(resolution.hard)
    while free := [name for name in left if resolution.hard[name] | resolution.soft[name] <= seen]:
        seen.update(free)
        for name in free:
            del left[name]
    assert not left
    assert sorted(order(plan, resolution)) == sorted(plan.tasks)


def test_critical_path_slack_and_remaining() -> None:
    plan = plan_of(
        {"a.1": "", "a.2": "a.1", "a.3": "a.1", "a.4": "a.2 a.3", "b.1": ""},
        estimate={"a.1": 10.0, "a.2": 30.0, "a.3": 20.0, "a.4": 5.0, "b.1": 45.0},
    )
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert resolution.remaining == {"a.1": 45.0, "a.2": 35.0, "a.3": 25.0, "a.4": 5.0, "b.1": 45.0}
    assert resolution.slack == {"a.1": 0.0, "a.2": 0.0, "a.3": 10.0, "a.4": 0.0, "b.1": 0.0}
    assert resolution.critical_path == ("b.1",)


def test_paths_go_through_epics() -> None:
    plan = plan_of(
        {"a.1": "", "a.2": "", "b.1": ""}, epics={"b": "a"}, estimate={"a.1": 1.0, "a.2": 2.0, "b.1": 3.0}
    )
    resolution = resolve(plan, Strategy.BY_EPIC)
    assert resolution.critical_path == ("a.2", "b.1")
    assert resolution.remaining["a.1"] == 4.0
    assert resolution.slack["a.1"] == 1.0


def test_durations_fall_back_step_by_step() -> None:
    names = ["declared", "learned", "taught", "like", "other", "bare"]
    plan = plan_of(
        {f"a.{name}": "" for name in [*names, "code1", "code2"]},
        category={
            "a.taught": "docs",
            "a.like": "code",
            "a.code1": "code",
            "a.code2": "code",
            "a.other": "odd",
        },
        estimate={"a.declared": 7.0, "a.code1": 100.0, "a.code2": 300.0},
    )
    learned = {"a.declared": 1.0, "a.learned": 11.0, "category:docs": 22.0}
    durations = resolve(plan, Strategy.BY_EPIC, learned=learned).durations
    assert [durations[f"a.{name}"] for name in names] == [7.0, 11.0, 22.0, 200.0, 100.0, 100.0]
    assert resolve(plan_of({"a.1": ""}), Strategy.BY_EPIC).durations == {"a.1": 1800.0}


def test_lanes_by_strategy() -> None:
    plan = plan_of(
        {"a.1": "", "a.2": "", "a.3": "", "a.4": "", "b.1": ""},
        files={"a.1": ("src/x.py",), "a.2": ("src/y/",), "a.3": ("src/y/z.py",), "b.1": ("src/x.py",)},
    )
    lanes = {strategy: resolve(plan, strategy).lanes for strategy in Strategy}
    assert lanes[Strategy.BY_EPIC] == {"a.1": "a", "a.2": "a", "a.3": "a", "a.4": "a", "b.1": "b"}
    assert lanes[Strategy.BY_TASK] == {name: name for name in plan.tasks}
    assert lanes[Strategy.SMART] == {"a.1": "a.1", "a.2": "a", "a.3": "a", "a.4": "a", "b.1": "b.1"}


def test_the_hook_takes_the_strategy_from_the_config() -> None:
    config = Config.model_validate({"parallel": {"strategy": "by_task"}})
    resolution = yoke_resolver.resolve_dependencies(
        plan_of({"a.1": "", "a.2": ""}), config, {"a.2"}, {"a.1": 3.0}
    )
    assert resolution.lanes == {"a.1": "a.1"}
    assert resolution.durations == {"a.1": 3.0}


def test_the_graph_of_s3() -> None:
    plan = load_plan(S3)
    resolution = resolve(plan, Strategy.BY_TASK)
    assert len(plan.tasks) == 49
    assert sum(map(len, resolution.hard.values())) == 80
    assert sum(resolution.durations.values()) == 166 * 3600
    assert [len(batch) for batch in resolution.batches] == [1, 6, 11, 8, 15, 7, 1]
    assert max(resolution.remaining.values()) == 23.5 * 3600
    assert resolution.critical_path == (
        "CORE-001", "CORE-002", "MODEL-001", "VALIDATOR-001", "POLICY-001", "POLICY-002",
    )  # fmt: skip
    assert resolution == resolve(load_plan(S3), Strategy.BY_TASK)


def test_big_epics_do_not_become_pairs() -> None:
    tasks = {f"{epic}.{n}": "" for epic in "abc" for n in range(2_000)}
    resolution = resolve(plan_of(tasks, epics={"a": "", "b": "a", "c": "b ~a"}), Strategy.BY_EPIC)
    assert resolution.hard["b.0"] == resolution.hard["b.1"] == {f"a.{n}" for n in range(2_000)}
    assert len(resolution.hard["c.17"]) == len(resolution.soft["c.17"]) == 2_000
    hard = Predecessors.of(resolution.hard)
    assert sum(map(len, hard.single.values())) + sum(map(len, hard.groups.values())) <= 4_000


def test_a_long_dense_plan() -> None:
    tasks = {f"a.{n}": " ".join(f"a.{p}" for p in range(max(0, n - 5), n)) for n in range(2_000)}
    resolution = resolve(plan_of(tasks), Strategy.BY_EPIC)
    assert len(resolution.batches) == 2_000
    assert resolution.critical_path == tuple(tasks)


def test_a_long_chain_of_milestones_does_not_exhaust_the_stack() -> None:
    epics = {f"m{n}": f"m{n - 1}" if n else "a" for n in range(3_000)}
    resolution = resolve(plan_of({"a.1": "", "z.1": "m2999"}, epics=epics), Strategy.BY_EPIC)
    assert hard(resolution)["z.1"] == {"a.1"}
