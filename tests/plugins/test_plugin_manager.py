"""What plugins bring at start: commands, sections, needs; and what is refused, by name."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pluggy
import pytest

from yokeflow import commands, plugin_manager
from yokeflow.__main__ import main
from yokeflow.cli import COMMANDS
from yokeflow.config import Config, Section
from yokeflow.errors import DocumentError, PluginError
from yokeflow.hookspecs import PROMISES, Hooks, Promise, hookspec
from yokeflow.plugin_manager import BUILT_IN, PluginManager, admit, load_plugins, load_settings
from yokeflow.settings import disabled_plugins, load_config

HEAD = """
import click
from pathlib import Path
from pydantic import Field
from typing import Annotated
from yokeflow.config import Section
from yokeflow.hookspecs import hookimpl
"""
COMMAND = """
@click.command("{name}", help="Greet.")
def {function}():
    click.echo("hello from {name}")
@hookimpl
def register_commands():
    return [{function}]
"""
SECTION = """
class Greeting(Section):
    '''How to greet.'''
    words: str = "hello"
    '''What is said.'''
    times: Annotated[int, Field(ge=1)] = 1
    '''How often.'''
@hookimpl
def register_config():
    return {{"{name}": Greeting}}
"""


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write modules and name them in YOKE_PLUGINS; gives the folder of a project."""
    folder, root = tmp_path / "modules", tmp_path / "root"
    folder.mkdir()
    root.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(root)

    def plug(**sources: str) -> Path:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(HEAD + source)
        monkeypatch.setenv("YOKE_PLUGINS", ",".join(sources))
        return root

    return plug


def refusal(name: str) -> PluginError:
    with pytest.raises(PluginError) as caught:
        load_plugins()
    assert caught.value.plugin == name
    assert caught.value.hint
    return caught.value


class TestCommands:
    def test_a_foreign_command_is_in_the_overview_and_works(self, plug, capsys):
        plug(greeter_one=COMMAND.format(name="greet", function="greet"))
        assert main(["--help"]) == 0
        assert "greet      Greet." in capsys.readouterr().out
        assert main(["greet"]) == 0
        assert capsys.readouterr().out == "hello from greet\n"

    def test_a_broken_plugin_costs_one_warning_and_no_command_of_the_core(self, plug, capsys):
        plug(greeter_two=COMMAND.format(name="greet", function="greet"), broken_two="1 / 0")
        assert main(["--help"]) == 0
        said = capsys.readouterr()
        assert [line for line in said.err.splitlines() if "warning" in line] == said.err.splitlines()
        assert "broken_two" in said.err
        assert len(said.err.splitlines()) == 1
        assert "greet " in said.out
        assert main(["greet"]) == 0
        assert main(["doctor", "--help"]) == 0
        assert main(["config", "show", "--json"]) == 0

    def test_nothing_is_loaded_for_commands_that_are_known(self, plug, capsys):
        plug(loud_one="print('LOADED')")
        assert main(["plan", "--help"]) == 0
        assert "LOADED" not in capsys.readouterr().out
        assert main(["--help"]) == 0
        assert "LOADED" in capsys.readouterr().out

    @pytest.mark.parametrize("taken", ["run", "models"])
    def test_a_name_that_is_taken_is_refused(self, plug, taken, capsys):
        name = f"greeter_of_{taken}"
        plug(**{name: COMMAND.format(name=taken, function="greet")})
        error = refusal(name)
        assert f"the command `{taken}` belongs to" in error.message
        assert main(["plugins", "--json"]) == 1
        (failed,) = json.loads(capsys.readouterr().out)["failed"]
        assert failed["name"] == name
        assert f"`{taken}`" in failed["reason"]

    def test_two_plugins_with_one_command_are_both_named(self, plug):
        source = COMMAND.format(name="greet", function="greet")
        plug(greeter_four=source, greeter_five=source)
        error = refusal("greeter_five")
        assert "belongs to the plugin greeter_four" in error.message

    def test_a_command_without_name_or_kind_is_refused(self, plug):
        plug(greeter_six="@hookimpl\ndef register_commands():\n    return [print]\n")
        assert "not click commands" in refusal("greeter_six").message
        plug(greeter_seven=COMMAND.format(name="Not good", function="greet"))
        assert "cannot be the name" in refusal("greeter_seven").message

    def test_a_disabled_built_in_says_so_and_its_name_is_free(self, plug, capsys):
        root = plug()
        (root / ".yokeflow.yaml").write_text("plugins: {disabled: [yoke_costs]}\n")
        assert main(["cost"]) == 2
        assert "plugin yoke_costs, which is disabled" in (said := capsys.readouterr().err)
        assert "plugins.disabled" in said
        plug(greeter_eight=COMMAND.format(name="cost", function="greet"))
        assert main(["cost"]) == 0
        assert capsys.readouterr().out == "hello from cost\n"

    def test_the_table_names_what_there_is(self):
        assert {entry.module for entry in commands.BUILT_IN.values()} <= set(BUILT_IN)
        assert list(COMMANDS) == [*commands.CORE, *commands.BUILT_IN]


class TestSections:
    def test_keys_are_real_keys(self, plug, monkeypatch, capsys):
        root = plug(polite_one=SECTION.format(name="greeting"))
        (root / ".yokeflow.yaml").write_text("greeting:\n  words: good day\n")
        monkeypatch.setenv("YOKE_GREETING__TIMES", "3")
        settings, plugins = load_settings(root)
        model = plugins.sections["greeting"]
        assert settings.config.section(model).model_dump() == {"words": "good day", "times": 3}
        assert settings.origins["greeting.times"] == "environment YOKE_GREETING__TIMES"
        assert settings.origins["greeting.words"].endswith(".yokeflow.yaml")
        assert isinstance(settings.config, Config)
        assert main(["config", "show", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["greeting.times"]["value"] == 3
        assert main(["config", "schema"]) == 0
        schema = json.loads(capsys.readouterr().out)
        assert schema["$defs"]["Greeting"]["description"] == "How to greet."
        assert schema["$defs"]["Greeting"]["properties"]["times"]["minimum"] == 1

    def test_problems_have_line_and_remedy(self, plug, monkeypatch):
        root = plug(polite_two=SECTION.format(name="greeting"))
        (root / ".yokeflow.yaml").write_text("plan: a.yaml\ngreeting:\n  wrds: x\n  times: 0\n")
        monkeypatch.setenv("YOKE_GREETING__TIMS", "3")
        with pytest.raises(DocumentError) as caught:
            load_settings(root)
        told = "\n".join(str(problem) for problem in caught.value.problems)
        assert ".yokeflow.yaml:3: greeting.wrds: there is no key `wrds` (did you mean `words`?)" in told
        assert ".yokeflow.yaml:4: greeting.times: must be at least 1" in told
        assert "did you mean `YOKE_GREETING__TIMES`?" in told

    def test_an_unknown_section_may_belong_to_a_missing_plugin(self, tmp_path, monkeypatch):
        (tmp_path / ".yokeflow.yaml").write_text("greeting: {words: x}\nplan: {a: 1}\n")
        monkeypatch.setenv("YOKE_GREETING__WORDS", "x")
        with pytest.raises(DocumentError) as caught:
            load_config(tmp_path)
        hints = {problem.key: problem.hint for problem in caught.value.problems}
        assert "may be missing" in hints["greeting"]
        assert "may be missing" in hints["YOKE_GREETING__WORDS"]
        assert "missing" not in hints["plan"]

    def test_who_loads_no_plugins_passes_over_their_sections(self, tmp_path, monkeypatch):
        (tmp_path / ".yokeflow.yaml").write_text("greeting: {words: x}\ndatabase: {connect_timeout: 2}\n")
        monkeypatch.setenv("YOKE_GREETING__WORDS", "x")
        assert load_config(tmp_path, strict=False).config.database.connect_timeout == 2
        (tmp_path / ".yokeflow.yaml").write_text("database: {connect_timeut: 2}\n")
        with pytest.raises(DocumentError, match="connect_timeut"):
            load_config(tmp_path, strict=False)

    def test_a_disabled_plugin_is_found_out_whatever_else_is_wrong(self, plug, monkeypatch):
        root = plug(broken_three="1 / 0")
        (root / ".yokeflow.yaml").write_text("pln: x\nplugins: {disabled: [broken_three]}\n")
        with pytest.raises(DocumentError, match="pln"):
            load_settings(root)
        monkeypatch.setenv("YOKE_PLUGINS__DISABLED", "[other]")
        assert disabled_plugins(root) == ("other",)
        assert disabled_plugins(root, {"plugins.disabled": ["third"]}) == ("third",)
        (root / ".yokeflow.yaml").write_text("plugins: [a, {")
        monkeypatch.delenv("YOKE_PLUGINS__DISABLED")
        assert disabled_plugins(root) == ()

    @pytest.mark.parametrize("taken", ["cost", "section", "Greeting", "a__b"])
    def test_a_name_that_cannot_be_is_refused(self, plug, taken):
        plug(**{f"polite_{taken}": SECTION.format(name=taken)})
        assert f"{taken}" in refusal(f"polite_{taken}").message

    def test_two_plugins_with_one_section_are_both_named(self, plug):
        source = SECTION.format(name="greeting")
        plug(polite_four=source, polite_five=source)
        assert "belongs to the plugin polite_four" in refusal("polite_five").message

    def test_every_key_needs_a_default(self, plug):
        plug(polite_six=SECTION.format(name="greeting").replace(' = "hello"', ""))
        assert "no default for words" in refusal("polite_six").message

    def test_a_failing_hook_is_blamed_on_its_plugin(self, plug):
        plug(polite_seven="@hookimpl\ndef register_config():\n    return {}['x']\n")
        assert "register_config failed: KeyError('x')" in refusal("polite_seven").message
        plug(polite_nine="import time\n@hookimpl\ndef register_config():\n    time.sleep(9)\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("yokeflow.plugin_manager._SECONDS", 0.05)
            assert "register_config took longer than 0.05 s" in refusal("polite_nine").message
        plug(polite_eight="@hookimpl\ndef register_migrations():\n    return Path('gone')\n")
        assert "no folder" in refusal("polite_eight").message


class TestVersions:
    @pytest.mark.parametrize(
        ("needs", "message"),
        [
            ('{"recall": 9}', "needs version 9 of the hook recall"),
            ('{"foretell": 1}', "needs the hook foretell"),
            ("5", "not versions by hook"),
        ],
    )
    def test_a_newer_need_is_refused_with_a_sentence(self, plug, needs, message):
        name = f"needy_{len(needs)}"
        source = f"yoke_needs = {needs}\n@hookimpl\ndef recall(from_the_future): ...\n"
        plug(**{name: source})
        error = refusal(name)
        assert message in error.message
        if needs != "5":
            assert "upgrade YokeFlow" in error.hint

    def test_what_is_there_may_be_needed(self, plug):
        plug(content_one='yoke_needs = {"recall": 2, "on_event": 1}\n@hookimpl\ndef on_event(): ...\n')
        assert "content_one" in load_plugins().sources

    @pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
    def test_wrappers_are_refused(self, plug, kind):
        plug(**{f"wrapping_{kind}": f"@hookimpl({kind}=True)\ndef order_ready():\n    return (yield)\n"})
        assert "order_ready is a hook wrapper" in refusal(f"wrapping_{kind}").message

    def test_adding_an_argument_breaks_no_plugin(self, monkeypatch):
        monkeypatch.setattr("yokeflow.hookspecs.PROMISES", dict(PROMISES))

        class Later(Hooks):
            @hookspec(version=2, closed=True, first=True)
            def order_ready(self, ready, resolution, weather): ...  # type: ignore[override]

        class Old:
            @pluggy.HookimplMarker("yokeflow")
            def order_ready(self, ready):
                return [*reversed(ready)]

        class New:
            @pluggy.HookimplMarker("yokeflow")
            def order_ready(self, weather, ready):
                return [weather, *ready] if weather else None

        monkeypatch.setattr("yokeflow.plugin_manager.Hooks", Later)
        manager = PluginManager()
        manager.register(Old())
        manager.register(New())
        manager.check_pending()
        ask = manager.hook.order_ready
        assert ask(ready=["a", "b"], resolution=None, weather="") == ["b", "a"]
        assert ask(ready=["a", "b"], resolution=None, weather="wet") == ["wet", "a", "b"]

    def test_every_hook_has_a_promise(self):
        names = {name for name, each in vars(Hooks).items() if callable(each)}
        assert names == set(PROMISES)
        assert PROMISES["recall"] == Promise(2, closed=False, first=False, seconds=10.0)


class TestHooks:
    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                "def recall(attempt):\n    return []\n",
                "recall looks like a hook but is not marked with @hookimpl",
            ),
            ("async def begin_run(): ...\n@hookimpl\ndef on_event(): ...\n", "begin_run looks like a hook"),
            ("x = 1\n", "it has no hook"),
            ("@hookimpl\ndef oder_ready(): ...\n", "unknown hook oder_ready (did you mean order_ready?)"),
            ("@hookimpl\ndef recall(atempt): ...\n", "recall has no argument atempt (did you mean attempt?)"),
        ],
        ids=["unmarked", "one-unmarked", "none", "misspelt-hook", "misspelt-argument"],
    )
    def test_what_would_never_be_called_is_refused(self, plug, source, message, capsys, request):
        name = f"forgetful_{request.node.callspec.id.replace('-', '_')}"
        plug(**{name: source})
        assert message in refusal(name).message
        assert main(["--help"]) == 0
        assert message in capsys.readouterr().err
        assert main(["plugins"]) == 1
        assert f"failed: {message}" in capsys.readouterr().out

    def test_objects_may_have_methods_of_any_name(self):
        class Mine:
            def learn(self): ...

            @pluggy.HookimplMarker("yokeflow")
            def on_event(self): ...

        assert admit(Mine(), "mine").sources == {"mine": "admitted by a test"}

    def test_a_name_that_is_no_hook_may_be_private_or_imported(self, plug):
        plug(tidy_one="def _recall(): ...\nlearn = 5\n@hookimpl\ndef on_event(): ...\n")
        assert "tidy_one" in load_plugins().sources


class TestImport:
    def test_one_that_hangs_is_named_soon(self, plug):
        plug(slow_one="import time\ntime.sleep(60)\n")
        assert plugin_manager._IMPORT_SECONDS <= 10
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("yokeflow.plugin_manager._IMPORT_SECONDS", 0.05)
            assert "importing it took longer than 0.05 s" in refusal("slow_one").message

    def test_kind_and_place_of_an_error_are_told(self, plug, tmp_path):
        plug(faulty_one="\ndef fail():\n    return int('x')\nfail()\n")
        error = refusal("faulty_one")
        place = f"{tmp_path / 'modules' / 'faulty_one.py'}:{HEAD.count(chr(10)) + 3}"
        assert error.message.endswith(f"ValueError: invalid literal for int() with base 10: 'x' ({place})")
        assert (
            error.hint == "correct it there; or take faulty_one out of the environment variable YOKE_PLUGINS"
        )
        plug(faulty_two="x = (\n")
        assert f"faulty_two.py:{HEAD.count(chr(10)) + 1})" in refusal("faulty_two").message

    def test_a_missing_dependency_is_not_a_missing_plugin(self, plug, monkeypatch):
        plug(needing_one="import no_such_module\n")
        assert "install no_such_module, which it needs" in refusal("needing_one").hint
        monkeypatch.setenv("YOKE_PLUGINS", "no_such_plugin.inner")
        assert "correct the environment variable YOKE_PLUGINS" in refusal("no_such_plugin.inner").hint


@pytest.fixture
def install(plug, tmp_path, monkeypatch):
    """Put a distribution on the path: what its entry_points.txt says, and what METADATA."""
    plug(installed_one="@hookimpl\ndef on_event(): ...\n", installed_two="@hookimpl\ndef on_event(): ...\n")
    monkeypatch.delenv("YOKE_PLUGINS")

    def install(name: str, points: str | bytes, metadata: str | None = None) -> Path:
        info: Path = tmp_path / "modules" / f"{name}-1.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(points.encode() if isinstance(points, str) else points)
        if metadata is None:
            metadata = f"Name: {name}\nVersion: 1\n"
        if metadata:
            (info / "METADATA").write_text(metadata)
        return info

    return install


class TestInstalled:
    def test_two_of_one_name_are_both_named(self, install, capsys):
        install("pa", "[yokeflow]\nsame = installed_one\n")
        install("pb", "[yokeflow]\nsame = installed_two\n")
        error = refusal("same")
        assert error.message in {
            "plugin same: pa 1 and pb 1 both bring a plugin `same`",
            "plugin same: pb 1 and pa 1 both bring a plugin `same`",
        }
        assert error.hint == "uninstall one of them"
        assert main(["plugins", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["loaded"][0]["name"] == "same"

    def test_one_with_the_name_of_a_built_in_one_is_the_one_to_go(self, install):
        install("pc", "[yokeflow]\nyoke_costs = installed_one\n")
        error = refusal("yoke_costs")
        assert "pc 1 brings a plugin with the name of a built-in one" in error.message
        assert error.hint.startswith("uninstall pc;")

    def test_one_under_two_names_is_named(self, install):
        install("pd", "[yokeflow]\nfirst = installed_one\nsecond = installed_one\n")
        assert refusal("second").message.endswith("is the same as the plugin first")

    def test_one_that_is_named_twice(self, plug, monkeypatch):
        plug(twice_one="@hookimpl\ndef on_event(): ...\n")
        monkeypatch.setenv("YOKE_PLUGINS", "twice_one,twice_one")
        assert refusal("twice_one").hint == "name it once"
        monkeypatch.setenv("YOKE_PLUGINS", "yoke_costs")
        assert "is built in" in refusal("yoke_costs").message

    @pytest.mark.parametrize(
        ("points", "metadata", "named"),
        [
            ("[yokeflow]\nhalf = installed_one\n", "", "half"),
            ("[yokeflow\nhalf = installed_one\n", None, "half_done"),
            ("[yokeflow]\nhalf installed_one\n", None, "half_done"),
            ("[yokeflow]\n", None, "half_done"),
            ("[yokeflow]\nhalf = installed one!\n", None, "half"),
            (b"[yokeflow]\nhalf = \xff\xfe", None, "half_done"),
        ],
        ids=["no-metadata", "no-bracket", "no-equals", "empty", "no-module", "no-text"],
    )
    def test_a_half_installed_one_is_named_as_damaged(self, install, points, metadata, named, capsys):
        folder = install("half_done", points, metadata)
        error = refusal(named)
        assert "its installation is damaged" in error.message
        assert str(folder) in error.hint
        assert main(["--help"]) == 0
        assert f"plugin {named} cannot be used: its installation is damaged" in capsys.readouterr().err
        assert named not in load_plugins([named]).sources

    def test_groups_of_others_are_their_business(self, install):
        install("pe", "[yokeflow.extras]\nother = nowhere\n")
        assert list(load_plugins().sources) == list(BUILT_IN)


def test_everything_is_shown(plug, capsys, tmp_path):
    folder = tmp_path / "modules" / "versions"
    folder.mkdir()
    (folder / "shown_0001.py").write_text(
        'revision = "shown_0001"\ndown_revision = None\nbranch_labels = ("shown",)\n'
    )
    plug(
        shown="yoke_needs = {'recall': 2}\n"
        + SECTION.format(name="greeting")
        + COMMAND.format(name="greet", function="greet")
        + "@hookimpl\ndef recall(host): ...\n"
        + "@hookimpl\ndef register_migrations():\n    return Path(__file__).parent / 'versions'\n"
    )
    assert main(["plugins", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["loaded"][0]
    assert entry["name"] == "shown"
    assert entry["source"] == "named in YOKE_PLUGINS"
    assert entry["hooks"] == ["recall", "register_commands", "register_config", "register_migrations"]
    assert entry["versions"]["recall"] == 2
    assert entry["needs"] == {"recall": 2}
    assert (entry["sections"], entry["commands"]) == (["greeting"], ["greet"])
    assert entry["migrations"] == ["shown"]
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "section greeting, `yoke greet`, tables shown" in said
    assert "recall v2" in said


def test_migrations_that_make_no_sense_are_shown_with_their_plugin(plug, capsys, tmp_path):
    (tmp_path / "modules" / "versions").mkdir()
    (tmp_path / "modules" / "versions" / "zzz.py").write_text('revision = "zzz"\ndown_revision = "0001"\n')
    (tmp_path / "modules" / "sound").mkdir()
    (tmp_path / "modules" / "sound" / "sound_0001.py").write_text(
        'revision = "sound_0001"\ndown_revision = None\nbranch_labels = ("sound",)\n'
        'depends_on = ("yoke_costs_0001",)\n'
    )
    source = "@hookimpl\ndef register_migrations():\n    return Path(__file__).parent / '{}'\n"
    plug(senseless=source.format("versions"), sound=source.format("sound"))
    assert main(["plugins", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["loaded"][0]["migrations"] == ["sound"]
    (failed,) = shown["failed"]
    assert (failed["name"], failed["source"]) == ("senseless", "named in YOKE_PLUGINS")
    assert "one label of their own" in failed["reason"]
    main(["doctor", "--json"])
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert findings["plugins"]["health"] == "fail"
    assert "plugin senseless" in findings["plugins"]["message"]


def test_the_doctor_tries_migrations_that_wait(plug, capsys, tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    (tmp_path / "modules" / "versions").mkdir()
    (tmp_path / "modules" / "versions" / "failing_0001.py").write_text(
        "from alembic import op\nrevision = 'failing_0001'\ndown_revision = None\n"
        "branch_labels = ('failing',)\ndef upgrade():\n    op.execute('SELECT nonsense FROM projects')\n"
    )
    plug(failing="@hookimpl\ndef register_migrations():\n    return Path(__file__).parent / 'versions'\n")
    assert main(["doctor", "--json"]) == 1
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert findings["database"]["health"] == "fail"
    assert "plugin failing: migration failing_0001 failed" in findings["database"]["message"]


def test_promises_are_checked_when_asked_for(plug, capsys):
    plug(
        honest="@hookimpl\ndef recall():\n    return ['a lesson']\n",
        rude="@hookimpl\ndef order_ready(ready):\n    return ['nobody']\n",
    )
    assert main(["plugins", "--json"]) == 0
    assert "broken" not in json.loads(capsys.readouterr().out)
    assert main(["plugins", "--check", "--json"]) == 1
    broken = json.loads(capsys.readouterr().out)["broken"]
    assert broken == {"rude": "order_ready: 'nobody' is not among the ready tasks"}
    assert main(["plugins", "--check"]) == 1
    assert "plugin rude breaks a promise" in capsys.readouterr().err


def test_the_overview_loads_nothing_without_plugins_to_load(tmp_path):
    """What `yoke --help` imports, and so how long it takes, does not depend on the built-in plugins."""
    code = "import sys; from yokeflow.__main__ import main; main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert "yokeflow.cli" in loaded
    assert not {"pluggy", "pydantic", "yaml", "sqlalchemy", "importlib.metadata"} & loaded
    assert not {name for name in loaded if name.startswith("yoke_")}


def test_a_section_of_its_own_has_its_defaults_where_it_is_not_loaded():
    class Mine(Section):
        depth: int = 3

    assert Config().section(Mine).depth == 3
