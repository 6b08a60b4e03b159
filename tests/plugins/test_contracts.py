"""The contract checks: the built-in plugins keep every promise, and a broken one is named."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from pydantic import Field
from sqlalchemy import text

from yokeflow.config import AgentOptions, Section
from yokeflow.errors import LimitError, StoreError
from yokeflow.events import Event
from yokeflow.hookspecs import PROMISES, hookimpl
from yokeflow.model import AgentReport, BudgetLeft, ConflictDecision, ModelChoice, Profile, Reservation
from yokeflow.plugin_manager import BUILT_IN
from yokeflow.testing import (
    attempts,
    check_agents,
    check_begin_run,
    check_budget,
    check_commands,
    check_config_section,
    check_conflicts,
    check_learn,
    check_listener,
    check_migrations,
    check_model_selection,
    check_order,
    check_plugin,
    check_pricing,
    check_profiles,
    check_recall,
    check_resolver,
    host,
    sample_plan,
    sample_resolution,
    sections_of,
    temporary_database,
)
from yokeflow.testing.asked import Asked

#: What kinds of agents need to work at all.
AGENTS = {"command": AgentOptions(argv=("tool", "{prompt_file}"))}
#: Hooks that are checked together with another one.
TOGETHER = {"budget_left", "check_spending", "settle_budget"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_plugins_keep_every_promise(name, database_url):
    plugin = import_module(name)
    checked = check_plugin(plugin, database_url=database_url, agents=AGENTS)
    asked = Asked(plugin)
    brings = {hook for hook in PROMISES if asked.has(hook)}
    assert brings - TOGETHER == set(checked)


def plugin(**hooks: Any) -> Any:
    return SimpleNamespace(**{name: hookimpl(each) for name, each in hooks.items()})


def good_resolver(plan, finished):
    left = [task for name, task in plan.tasks.items() if name not in finished]
    return None if len(left) != len(plan.tasks) or "loop.a" in plan.tasks else sample_resolution(plan)


def resolver(**changes: Any) -> Any:
    def resolve_dependencies(plan, finished):
        found = good_resolver(plan, finished)
        for name, change in changes.items():
            if found is not None and plan.tasks:
                object.__setattr__(found, name, change(getattr(found, name)))
        return found

    return plugin(resolve_dependencies=resolve_dependencies)


class TestDecisions:
    def test_a_resolver_that_works(self):
        check_resolver(resolver())

    @pytest.mark.parametrize(
        ("changes", "promise"),
        [
            ({"hard": lambda _: {}}, "`hard` leaves out"),
            ({"hard": lambda old: {name: frozenset() for name in old}}, "`hard` of .* leaves out"),
            ({"remaining": lambda old: dict.fromkeys(old, 0.0)}, "less than it takes"),
            ({"lanes": lambda old: dict.fromkeys(old, "")}, "no lane"),
            ({"batches": lambda old: old[1:]}, "every unfinished task once"),
            ({"batches": lambda old: (tuple(name for each in old for name in each),)}, "not after all"),
            ({"critical_path": lambda _: ("nobody",)}, "made of unfinished tasks"),
        ],
    )
    def test_a_resolver_that_leaves_something_out(self, changes, promise):
        with pytest.raises(AssertionError, match=promise):
            check_resolver(resolver(**changes))

    def test_a_resolver_that_takes_cycles_changes_its_mind_or_answers_nonsense(self):
        def careless(plan):
            return sample_resolution(sample_plan()) if "loop.a" in plan.tasks else None

        with pytest.raises(AssertionError, match="resolve_dependencies: a cycle raises"):
            check_resolver(plugin(resolve_dependencies=careless))
        with pytest.raises(AssertionError, match="no Resolution but int"):
            check_resolver(plugin(resolve_dependencies=lambda plan: 5))

    @pytest.mark.parametrize(
        ("order", "promise"),
        [
            (lambda ready: [task.id for task in ready] * 2, "twice"),
            (lambda ready: ["stranger"], "not among the ready"),
            (lambda ready: "shop.base", "no list of ids"),
            (lambda ready: [], "none may start"),
            (lambda ready: 1 / 0, "ZeroDivisionError"),
        ],
    )
    def test_orders(self, order, promise):
        def order_ready(ready):
            return order(ready)

        with pytest.raises(AssertionError, match=promise):
            check_order(plugin(order_ready=order_ready))

    def test_an_order_that_takes_its_time(self, monkeypatch):
        monkeypatch.setattr("yokeflow.testing.decisions._ORDER_SECONDS", 0.02)

        def order_ready():
            while True:
                pass

        with pytest.raises(AssertionError, match=r"order_ready took longer than 0\.02 s"):
            check_order(plugin(order_ready=order_ready))

    @pytest.mark.parametrize(
        ("decision", "promise"),
        [
            ("agent", "no ConflictDecision but str"),
            (ConflictDecision("theirs"), "'theirs' is none of manual, agent, retry_later"),  # type: ignore[arg-type]
            (ConflictDecision("agent", agent=None), "are text"),  # type: ignore[arg-type]
        ],
    )
    def test_conflicts(self, decision, promise):
        def resolve_conflict(conflict):
            return decision if conflict.tries else None

        with pytest.raises(AssertionError, match=promise):
            check_conflicts(plugin(resolve_conflict=resolve_conflict))

    @pytest.mark.parametrize(
        ("profile", "promise"),
        [
            (lambda: "writer", "no Profile but str"),
            (lambda: Profile(""), "no name"),
            (lambda: Profile(str(object())), "now this, now that"),
            (lambda: Profile("a", lowest_tier="weak"), "'weak' is no tier"),
            (lambda: Profile("a", always=["x"]), "are tuples"),  # type: ignore[arg-type]
        ],
    )
    def test_profiles(self, profile, promise):
        kept: list[object] = []

        def select_profile():
            kept.append(object())  # so that no two have one address
            return profile()

        with pytest.raises(AssertionError, match=promise):
            check_profiles(plugin(select_profile=select_profile))

    @pytest.mark.parametrize(
        ("choice", "promise"),
        [
            ("sonnet", "no ModelChoice but str"),
            (ModelChoice("sonnet", " "), "has a reason"),
            (ModelChoice("sonnet", "cheap", tier="best"), "is no tier"),
            (ModelChoice("sonnet", "cheap", details={"a": object()}), "not JSON serializable"),
        ],
    )
    def test_models(self, choice, promise):
        with pytest.raises((AssertionError, TypeError), match=promise):
            check_model_selection(plugin(select_model=lambda attempt: choice))


class Purse:
    """A budget of ten dollars, with one fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.held: dict[str, float] = {}
        self.spent = 0.0

    @hookimpl
    async def reserve_budget(self, attempt):
        full = self.spent + sum(self.held.values()) + 1 > 10
        if self.fault == "racy":
            await asyncio.sleep(0)  # everybody has looked before anybody takes
        if full and self.fault != "boundless":
            raise LimitError("the purse is empty", hint="" if self.fault == "curt" else "fill it")
        self.held[attempt.session] = 1.0
        return -1.0 if self.fault == "negative" else Reservation(usd=1.0)

    @hookimpl
    def settle_budget(self, result):
        held = self.held.pop(result.attempt.session, 0.0)
        if self.fault != "forgetful":
            self.spent += held if self.fault == "stingy" else result.cost_usd

    @hookimpl
    def budget_left(self):
        return BudgetLeft("month" if self.fault == "odd" else "run", "usd", 10.0, self.spent)

    @hookimpl
    def check_spending(self):
        return 5 if self.fault == "talkative" else None


class TestMoney:
    def test_a_purse_that_works(self):
        check_budget(Purse())

    @pytest.mark.parametrize(
        ("fault", "promise"),
        [
            ("boundless", "all get a reservation"),
            ("racy", "all get a reservation"),
            ("negative", "no Reservation or a number"),
            ("curt", "says what to do"),
            ("stingy", "gives back"),
            ("forgetful", "the whole budget is spent"),
            ("odd", "task, epic, run or day"),
            ("talkative", "no sentence but int"),
        ],
    )
    def test_purses(self, fault, promise):
        with pytest.raises(AssertionError, match=promise):
            check_budget(Purse(fault))

    @pytest.mark.parametrize(
        ("price", "promise"),
        [
            (lambda usage: None, "has a price"),
            (lambda usage: 1.0, "price of an unknown model is None"),
            (lambda usage: 1 / sum(each.input for each in usage), "cost less"),
            (lambda usage: "free", "no number of dollars"),
        ],
    )
    def test_prices(self, price, promise):
        def price_usage(usage):
            return price(usage)

        with pytest.raises(AssertionError, match=promise):
            check_pricing(plugin(price_usage=price_usage))


class TestOnlookers:
    def test_a_listener(self):
        def on_event(event):
            return event.data["no such key"]

        with pytest.raises(AssertionError, match="no such key"):
            check_listener(plugin(on_event=on_event))
        with pytest.raises(AssertionError, match="answers nothing"):
            check_listener(plugin(on_event=lambda: 5))

    def test_lessons(self, database_url):
        async def thirsty(host):
            async with host.begin():
                return ["a lesson"]

        with pytest.raises(StoreError, match="away"):
            check_recall(plugin(recall=thirsty), database_url=database_url)
        with pytest.raises(AssertionError, match="no list of paragraphs"):
            check_recall(plugin(recall=lambda: "a lesson"))
        check_recall(plugin(recall=lambda: ["a lesson"]), database_url=database_url)

    def test_learning(self):
        def careless(transcript):
            transcript.read_text()

        def vandal(transcript):
            transcript.write_text("mine")

        with pytest.raises(AssertionError, match="UnicodeDecodeError"):
            check_learn(plugin(learn=careless))
        with pytest.raises(AssertionError, match="read, not changed"):
            check_learn(plugin(learn=vandal))

    def test_the_beginning(self, database_url):
        async def begin_run(host):
            async with host.begin() as conn:
                await conn.execute(text("SELECT 1"))

        check_begin_run(plugin(begin_run=begin_run))
        check_begin_run(plugin(begin_run=begin_run), database_url=database_url)
        with pytest.raises(AssertionError, match="not subscriptable"):
            check_begin_run(plugin(begin_run=lambda plan: plan["x"]))


class Bare(Section):
    """Without words."""

    depth: int = 1


class Unkind(Section):
    """With a default that is none."""

    depth: int = Field(default=-1, ge=0, description="How deep.")


@click.command("wave")
@click.option("--hand")
def wave(hand):
    """Wave."""


@click.command("nod")
def nod(): ...


class TestAdditions:
    def test_sections(self):
        with pytest.raises(AssertionError, match=r"bare\.depth has no docstring"):
            check_config_section(plugin(register_config=lambda: {"bare": Bare}))
        with pytest.raises(ValueError, match="greater than or equal"):
            check_config_section(plugin(register_config=lambda: {"unkind": Unkind}))
        with pytest.raises(AssertionError, match="belongs to the core"):
            check_config_section(plugin(register_config=lambda: {"cost": Bare}))

    def test_a_config_for_tests(self):
        mine = plugin(register_config=lambda: {"bare": Bare})
        assert sections_of(mine).model_validate({"bare": {"depth": 4}}).section(Bare).depth == 4

    def test_commands(self):
        with pytest.raises(AssertionError, match="`yoke wave`: hand has no help"):
            check_commands(plugin(register_commands=lambda: [wave]))
        with pytest.raises(AssertionError, match="`yoke nod` has a docstring"):
            check_commands(plugin(register_commands=lambda: [nod]))

    def test_agents(self):
        with pytest.raises(AssertionError, match="no list of agents"):
            check_agents(plugin(register_agents=lambda: ["shell"]))

    def test_a_hook_that_is_not_there(self):
        with pytest.raises(AssertionError, match="marked with @hookimpl"):
            check_order(SimpleNamespace(order_ready=lambda: None))
        with pytest.raises(AssertionError, match="unknown hook"):
            check_plugin(plugin(oder_ready=lambda: None))

    @pytest.mark.parametrize(
        ("name", "up", "down", "promise"),
        [
            ("x_0001", "CREATE TABLE x (id int)", "DROP TABLE x", ""),
            ("y_0001", "CREATE TABLE x (id int)", "DROP TABLE x", "begins with x_"),
            ("x_0001", "CREATE TABLE x (id int)", "SELECT 1", "make something, and take it back"),
        ],
    )
    def test_migrations(self, tmp_path: Path, database_url, name, up, down, promise):
        (tmp_path / f"{name}.py").write_text(
            f'from alembic import op\nrevision = "{name}"\ndown_revision = None\nbranch_labels = ("x",)\n'
            f'def upgrade():\n    op.execute("{up}")\ndef downgrade():\n    op.execute("{down}")\n'
        )
        mine = plugin(register_migrations=lambda: tmp_path)
        if not promise:
            check_migrations(mine, database_url)
            return
        with pytest.raises(AssertionError, match=promise):
            check_migrations(mine, database_url)


class TestHosts:
    async def test_without_a_database(self):
        async with host() as lent:
            with pytest.raises(StoreError, match="away"):
                async with lent.begin():
                    pass
            for odd in ("session.started", "deploy"):
                with pytest.raises(ValueError, match="no event of a plugin"):
                    lent.emit(odd)
            lent.attempt = attempts(lent.run)[0]
            lent.emit("deploy.started", place="here")
            (event,) = lent.events
            assert (event.run, event.task, event.data) == (lent.run, "shop.base", {"place": "here"})
            lent.answers.append(AgentReport(ok=True, answer="42"))
            assert (await lent.ask("Why?", operation="ponder", agent="claude")).answer == "42"
            assert (await lent.ask("Why?", operation="ponder", agent="claude")).answer == ""
            assert lent.asked == [("ponder", "Why?")] * 2
            lent.changed, lent.tracked = ["a"], ["b"]
            assert [*await lent.changed_files("x", "y"), *await lent.tracked_files()] == ["a", "b"]

    async def test_with_a_database(self, database_url):
        async with host(database_url) as lent:
            lent.emit("deploy.started", place="here")
            await lent.store_events(Event("run.paused", run=lent.run))
            async with lent.begin() as conn:
                found = await conn.execute(
                    text("SELECT type FROM events WHERE project_id = :id ORDER BY seq"),
                    {"id": lent.project_id},
                )
                assert list(found.scalars()) == ["run.paused", "deploy.started"]

    def test_a_database_that_goes_away(self, server_url):
        async def tables(url: str) -> int:
            async with host(url) as lent, lent.begin() as conn:
                return int((await conn.execute(text("SELECT count(*) FROM sessions"))).scalar_one())

        with temporary_database(server=server_url) as url:
            assert asyncio.run(tables(url)) == 0
        with pytest.raises(StoreError):
            asyncio.run(tables(url))
