"""Where migrations are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.store import migrate, revisions

if TYPE_CHECKING:
    import pytest


def test_an_installed_package_brings_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "yokeflow" / "store" / "revisions.py"
    monkeypatch.setattr(revisions, "__file__", str(module))
    assert migrate.schema_folder() == tmp_path / "schema"
    (tmp_path / "yokeflow" / "_schema").mkdir(parents=True)
    assert migrate.schema_folder() == tmp_path / "yokeflow" / "_schema"


def test_revisions_are_read_with_what_they_come_after(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("revision: str = 'x_1'\ndown_revision = None\nbranch_labels = 'x'\n")
    (tmp_path / "two.py").write_text("revision = 'x_2'\ndown_revision = ('x_1',)\ndepends_on = 'core_0001'\n")
    known = migrate.revisions([tmp_path])
    assert known["x_2"].after == {"x_1", "core_0001"}
    assert known["x_1"].branches == {"x"}
    assert migrate.heads(known) == {"x_2"}


def test_alembic_works_by_hand(database_url: str) -> None:
    command = [str(Path(sys.executable).with_name("alembic")), "-c", "schema/alembic.ini"]
    root = Path(__file__).parents[2]
    assert subprocess.run([*command, "--help"], cwd=root, capture_output=True, check=False).returncode == 0
    environment = {**os.environ, "YOKE_DATABASE_URL": database_url}
    done = subprocess.run(
        [*command, "current"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert "core_0002 (head)" in done.stdout, done.stderr
    assert "yoke_costs_0004 (head)" in done.stdout
