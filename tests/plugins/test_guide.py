"""The guide for authors of plugins, followed to the letter from an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
GUIDE = CHECKOUT / "docs" / "write-a-plugin.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\S+\.\w+)\n")
#: What a shell says after the commands of a block: where it is and what it has exported.
_STATE = '\necho; echo "-- $PWD"; export -p'

pytestmark = pytest.mark.slow


def blocks() -> Iterator[tuple[str, str]]:
    """Kind and text of every block, in order."""
    for found in _BLOCK.finditer(GUIDE.read_text(encoding="utf-8")):
        yield found[1], found[2]


class Reader:
    """Somebody who does what the guide says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self._state = f"cd '{folder}'"

    def write(self, text: str) -> None:
        name = _NAME.match(text)
        assert name, f"a block does not say into which file it belongs: {text}"
        (self.folder / name[1]).write_text(text, encoding="utf-8")

    def type(self, text: str) -> None:
        script = f"{self._state}\nset -e\n{text}{_STATE}"
        done = subprocess.run(
            ["sh", "-c", script], cwd=self.folder, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.said, _, state = done.stdout.rpartition("\n-- ")
        where, _, exported = state.partition("\n")
        self._state = f"cd '{where}'\n{exported}"

    def see(self, text: str) -> None:
        for line in text.splitlines():
            words = " +".join(map(re.escape, line.split()))
            assert re.search(words, self.said), f"{line!r} is not in\n{self.said}"


def test_the_guide_works(
    fresh_environment: Callable[..., Path],
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = fresh_environment(CHECKOUT)
    for name in [name for name in os.environ if name.startswith(("PYTHON", "COV_", "YOKE_PLUGINS"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W error -p no:xdist -p no:cacheprovider")
    for option, value in {"NO_INDEX": "1", "NO_DEPS": "1", "NO_BUILD_ISOLATION": "off"}.items():
        monkeypatch.setenv(f"PIP_{option}", value)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    reader = Reader(tmp_path)
    does = {"python": reader.write, "toml": reader.write, "sh": reader.type, "text": reader.see}
    followed = [kind for kind, text in blocks() if does[kind](text) is None]
    assert followed.count("sh") == followed.count("text") == 6
