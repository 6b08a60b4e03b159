"""What plugins promise that add something: agents, settings, commands, tables; and a whole plugin."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
from click.testing import CliRunner

from yokeflow.config import Config, Section
from yokeflow.errors import PluginError
from yokeflow.plugin_checks import commands_of
from yokeflow.settings import extended, fields
from yokeflow.store import migrate
from yokeflow.store.driver import connection
from yokeflow.testing.agents import check_agent
from yokeflow.testing.asked import Asked, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from yokeflow.config import AgentOptions

_HELP_SECONDS = 0.5
_OBJECTS = """
SELECT 'table ' || tablename FROM pg_tables WHERE schemaname = 'public'
UNION SELECT 'view ' || viewname FROM pg_views WHERE schemaname = 'public'
UNION SELECT 'index ' || indexname FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'trigger ' || tgrelid::regclass || '.' || tgname FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace = 'public'::regnamespace
"""


def check_agents(plugin: object, options: Mapping[str, AgentOptions] | None = None) -> None:
    """Check `register_agents`: `check_agent` for each; `options` by kind are what it needs to work."""
    asked = Asked(plugin)
    asked.needs("register_agents")
    try:
        agents = asked.manager.agents()
    except PluginError as error:
        raise AssertionError(error.message) from error
    assert agents, "register_agents brings an agent"
    for name, agent in agents.items():
        check_agent(agent, (options or {}).get(name))


def check_config_section(plugin: object) -> None:
    """Check `register_config`: names that are free, defaults that are valid, every key explained."""
    asked = Asked(plugin)
    asked.needs("register_config")
    sections = asked.manager.sections
    assert sections, "register_config brings a section"
    config = extended(sections)
    assert config.model_json_schema()["properties"], "a JSON Schema can be made of it"
    for name, model in sections.items():
        empty = config.model_validate({name: None})
        assert empty.section(model) == model(), f"an empty section `{name}` has its defaults"
        assert config.model_validate({name: model().model_dump()}) == empty, "defaults are valid values"
        assert model.__doc__, f"the section `{name}` has a docstring"
        bare = [".".join(map(str, key)) for key, found in fields(model, (name,)) if not found.description]
        assert not bare, f"{bare[0]} has no docstring below it that explains it"
        assert model.model_config.get("frozen"), f"the section `{name}` is frozen"
        assert issubclass(model, Section), f"the section `{name}` refuses unknown keys"


def check_commands(plugin: object) -> None:
    """Check `register_commands`: each explains itself, at once, and every option has its help."""
    asked = Asked(plugin)
    asked.needs("register_commands")
    commands = commands_of(asked.name, [asked.now("register_commands")])
    assert commands, "register_commands brings a command"
    for name, command in commands.items():
        for path, each in _with_inner(command, name):
            assert each.help, f"`yoke {path}` has a docstring"
            bare = [
                option.name for option in each.params if isinstance(option, click.Option) and not option.help
            ]
            assert not bare, f"`yoke {path}`: {bare[0]} has no help"
            _check_help(command, path)


def _with_inner(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _with_inner(inner, f"{path} {name}")


def _check_help(command: click.Command, path: str) -> None:
    started = perf_counter()
    answered = CliRunner().invoke(command, [*path.split()[1:], "--help"])
    took = perf_counter() - started
    assert answered.exit_code == 0, f"`yoke {path} --help` fails: {answered.output or answered.exception!r}"
    assert took < _HELP_SECONDS, f"`yoke {path} --help` takes {took:.1f} s"


def check_migrations(plugin: object, database_url: str) -> None:
    """Check `register_migrations` on a real database: up, down and up again, and nothing is left behind.

    `temporary_database()` makes one. It must have no tables of the plugin yet, or all of them.
    """
    asked = Asked(plugin)
    asked.needs("register_migrations")
    folder = asked.manager.brought[asked.name].migrations
    assert folder is not None, "register_migrations gives a folder"
    label = _check_revisions(folder)

    async def check() -> None:
        await migrate.upgrade(database_url, [folder])
        first = await _objects(database_url)
        await migrate.downgrade(database_url, [folder], f"{label}@base")
        without = await _objects(database_url)
        assert without < first, f"the migrations of {label} make something, and take it back"
        await migrate.upgrade(database_url, [folder])
        again = await _objects(database_url)
        assert again == first, f"up, down, up changes {min(again ^ first)}"

    run(check())


def _check_revisions(folder: Path) -> str:
    """The label of the branch."""
    known = migrate.revisions([folder])
    assert known, f"{folder} holds no revision"
    labels = sorted({label for each in known.values() for label in each.branches})
    assert len(labels) == 1, f"one branch has one label in `branch_labels`, not {labels}"
    label = labels[0]
    assert label != "core", "the branch `core` is the core's own"
    for name, each in known.items():
        assert name.startswith(f"{label}_"), f"the id of revision {name} begins with {label}_"
        assert each.after <= known.keys(), f"{name} depends on another branch: leave `depends_on` empty"
    assert len(migrate.heads(known)) == 1, "the branch has one head"
    return label


async def _objects(url: str) -> set[str]:
    async with connection(url) as opened:
        rows: list[Any] = await opened.fetch(_OBJECTS)
    return {row[0] for row in rows}


def sections_of(plugin: object) -> type[Config]:
    """The settings with the plugin's sections in them, to make a config of for its tests.

    `sections_of(plugin).model_validate({"my_section": {"key": 1}})`
    """
    return extended(Asked(plugin).manager.sections)
