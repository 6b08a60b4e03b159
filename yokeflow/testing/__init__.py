"""For people who write plugins: what each kind of hook promises, as one check, and what tests need besides.

    def test_my_plugin():
        with temporary_database(my_plugin) as url:
            check_plugin(my_plugin, database_url=url)

`check_plugin` makes every check that applies; each can be made alone, and raises AssertionError with the
promise that was broken. `host()` gives what the core lends a plugin, with a real database or without one.
`Script` writes agents that follow a script:

    script = Script().write("hello.txt", "hello").commit("Say hello").exit(0)
    manager.register(scripted(script))         # or give `script.text` to a task as its `run`
"""

from yokeflow.testing.additions import (
    check_agents,
    check_commands,
    check_config_section,
    check_migrations,
    sections_of,
)
from yokeflow.testing.agents import GARBAGE, HOSTILE, agent_request, check_agent
from yokeflow.testing.conflicts import check_conflicts
from yokeflow.testing.decisions import check_model_selection, check_order, check_profiles, check_resolver
from yokeflow.testing.host import TestHost, host, temporary_database
from yokeflow.testing.lessons import (
    check_begin_preview,
    check_begin_run,
    check_learn,
    check_listener,
    check_recall,
)
from yokeflow.testing.money import check_budget, check_pricing
from yokeflow.testing.notices import check_notify
from yokeflow.testing.samples import attempts, result, sample_plan, sample_resolution
from yokeflow.testing.script import Script, ScriptedAgent, ScriptedReader, scripted
from yokeflow.testing.whole import check_plugin

__all__ = [
    "GARBAGE",
    "HOSTILE",
    "Script",
    "ScriptedAgent",
    "ScriptedReader",
    "TestHost",
    "agent_request",
    "attempts",
    "check_agent",
    "check_agents",
    "check_begin_preview",
    "check_begin_run",
    "check_budget",
    "check_commands",
    "check_config_section",
    "check_conflicts",
    "check_learn",
    "check_listener",
    "check_migrations",
    "check_model_selection",
    "check_notify",
    "check_order",
    "check_plugin",
    "check_pricing",
    "check_profiles",
    "check_recall",
    "check_resolver",
    "host",
    "result",
    "sample_plan",
    "sample_resolution",
    "scripted",
    "sections_of",
    "temporary_database",
]
