"""What agents and checks see of our environment, and how to find them by it again."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Let through to every agent and check. Left out on purpose: keys of all kinds, database addresses,
#: SSH_AUTH_SOCK (it signs anywhere as you), git's own variables, and all of YokeFlow's.
ALLOWED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TERM", "COLORTERM", "TZ"),
    *("TMPDIR", "XDG_*", "SYSTEMROOT"),
    # Without these nothing reaches the network behind a proxy or a company's certificate.
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    # Where tool chains are.
    *("JAVA_HOME", "GOPATH", "GOROOT", "CARGO_HOME", "RUSTUP_HOME", "NVM_DIR", "PYENV_ROOT"),
)

#: Git in a session neither asks a person nor collects garbage beside twenty others.
_GIT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "gc.auto",
    "GIT_CONFIG_VALUE_0": "0",
    "GIT_CONFIG_KEY_1": "maintenance.auto",
    "GIT_CONFIG_VALUE_1": "false",
}


def named_environment(names: Iterable[str]) -> dict[str, str]:
    """The variables of ours that match `names`, where `*` stands for anything."""
    wanted = _matcher(tuple(names))
    return {name: value for name, value in os.environ.items() if wanted(name)}


@lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def scrubbed_environment(extra: Iterable[str] = ()) -> dict[str, str]:
    """The allow-listed part of our environment and the variables named by `extra`, which may use `*`."""
    return {**named_environment(ALLOWED), **_GIT, **named_environment(extra)}


def git_settings(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Variables that add settings of git to those in an environment."""
    known = environment.get("GIT_CONFIG_COUNT", "")
    start = int(known) if known.isdecimal() else 0
    added: dict[str, str] = {}
    for number, (key, value) in enumerate(settings.items(), start):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**added, "GIT_CONFIG_COUNT": str(start + len(settings))} if added else {}


def sweep(mark_name: str, mark_value: str = "") -> tuple[int, ...]:
    """Kill the processes whose environment has `mark_name` beginning with `mark_value`, and descendants.

    Spares this process and those it runs in. Gives the process ids that were killed. Blocks: a few
    milliseconds for each hundred processes of the machine.
    """
    spared = _this_and_above()
    killed: set[int] = set()
    # What forked between our look and our signal shows up in the next round.
    for _ in range(50):
        found = _marked(mark_name, mark_value, spared)
        if not found:
            break
        for process in found:
            with suppress(psutil.Error):
                process.kill()
                killed.add(process.pid)
        psutil.wait_procs(found, timeout=0.05)
    return tuple(sorted(killed))


def _this_and_above() -> set[int]:
    this = psutil.Process()
    return {this.pid, *(process.pid for process in this.parents())}


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _marked(name: str, value: str, spared: set[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            mark = process.environ().get(name)
            if process.pid not in spared and mark is not None and mark.startswith(value) and _alive(process):
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    return [process for pid, process in found.items() if pid not in spared and _alive(process)]
