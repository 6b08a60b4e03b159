"""What people install: the wheel, in an environment of its own, without this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from yokeflow import __version__
from yokeflow.store import migrate

CHECKOUT = Path(__file__).parents[2]
#: Folder of the checkout -> folder of the wheel.
SHIPPED = {"yokeflow": "yokeflow", "plugins": "", "schema": "yokeflow/_schema", "hooks": "yokeflow/_hooks"}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed; ours must not write to stderr either."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; what it depends on comes from the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    # Not even a look at what is installed elsewhere: this very version is, editable.
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", "--no-cache-dir", str(wheel)], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # Folders named here come after its own, and their .pth files, such as the editable one, are not read.
    Path(packages, "dependencies.pth").write_text("".join(f"{each}\n" for each in sorted(ours)))
    return folder


def test_it_holds_all_that_is_needed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        found = {name for name in opened.namelist() if ".dist-info/" not in name}
        entries = opened.read(f"yokeflow-{__version__}.dist-info/entry_points.txt").decode()
        about = opened.read(f"yokeflow-{__version__}.dist-info/METADATA").decode()
    wanted = {
        Path(inside, path.relative_to(CHECKOUT / folder)).as_posix()
        for folder, inside in SHIPPED.items()
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert found == wanted
    assert {
        "yokeflow/py.typed",
        "yokeflow/_schema/env.py",
        "yokeflow/_hooks/yoke-hook",
        "yokeflow/demo/plan.yaml",
    } <= found
    assert {"yoke_agents/__init__.py", "yoke_costs/migrations/yoke_costs_0001.sql"} <= found
    assert not [name for name in found if "test_" in name or "conftest" in name or name.startswith("bench")]
    assert "yoke = yokeflow.__main__:program" in entries
    assert "Requires-Python: >=3.11" in about


def test_it_works_without_the_checkout(
    environment: Path, tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("PYTHON", "COV_"))]:
        monkeypatch.delenv(name)
    yoke = environment / "bin" / "yoke"
    where = run(
        environment / "bin" / "python",
        "-c",
        "import yoke_costs, yokeflow.cli as c; print(c.__file__, yoke_costs.__file__)",
        cwd=tmp_path,
    )
    assert all(Path(found).is_relative_to(environment) for found in where.split()), where
    assert "Commands:" in run(yoke, "--help", cwd=tmp_path)
    made = run(yoke, "demo", "calc", "--no-run", cwd=tmp_path)
    assert "cd calc" in made
    demo = tmp_path / "calc"
    assert run("git", "status", "--porcelain", cwd=demo) == ""
    # Empty until now: the migrations of the core and of the plugins come out of the wheel.
    monkeypatch.setenv("YOKE_DATABASE_URL", empty_database_url)
    run(yoke, "run", "--task", "numbers.tokens", cwd=demo)
    items = json.loads(run(yoke, "status", "--json", cwd=demo))["items"]
    assert [item["id"] for item in items if item["status"] == "completed"] == ["numbers.tokens"]
    hooks = json.loads(run(yoke, "hooks", "install", "--json", cwd=demo))
    assert (hooks["installed"], hooks["remedy"]) == (True, "")
    database = json.loads(run(yoke, "db", "status", "--json", cwd=tmp_path))
    folders = migrate.revision_folders(sorted((CHECKOUT / "plugins").glob("*/migrations")))
    newest = sorted(migrate.heads(migrate.revisions(folders)))
    assert database["schema"] == {"up_to_date": True, "revisions": newest}
