"""Whether a command of git wrote a setting of its repository, by what it was asked and what is there now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Verbs of commands that write settings which they do not name, and the beginning of those.
_INDIRECT = {
    ("submodule", verb): "submodule."
    for verb in ("add", "init", "update", "sync", "deinit", "set-url", "set-branch", "absorbgitdirs")
} | {("sparse-checkout", verb): "core.sparse" for verb in ("init", "set", "add", "disable", "reapply")}
_READS = {"--get", "--get-all", "--get-regexp", "--get-urlmatch", "--get-color", "--get-colorbool", "--list"}
_ACTIONS = {
    "--add",
    "--replace-all",
    "--unset",
    "--unset-all",
    "--rename-section",
    "--remove-section",
    "--edit",
}
#: Words of a newer git for the same.
_SUBCOMMANDS = {"set", "unset", "rename-section", "remove-section", "edit", "get", "list"}
_SHORT = {"-l": "--list", "-e": "--edit"}
#: Words that are no names: options may follow.
_VERBS = _SUBCOMMANDS | {"add", "rename", "remove", "rm", "set-head", "set-branches", "set-url"}
#: Options whose value is the next word.
_CONFIG_VALUES = {"-f", "--file", "--blob", "--type", "--default", "--comment", "--value", "--url"}
_REMOTE_VALUES = {"-t", "--track", "-m", "--master"}
#: Options by which git writes a value in a form of its own.
_TYPES = ("--type", "--bool", "--bool-or-int", "--int", "--path", "--expiry-date")


class Change(NamedTuple):
    """A setting and the values it had and has."""

    key: str
    before: Sequence[str]
    after: Sequence[str]

    @property
    def fewer(self) -> bool:
        """Whether it has values no more."""
        return len(self.after) < len(self.before)


@dataclass(frozen=True, slots=True)
class _Asked:
    words: list[str]
    options: dict[str, str]


def wrote(words: Sequence[str], change: Change) -> bool:
    """Whether a command that did what it was asked may have made a change."""
    verb, rest = "".join(words[:1]), list(words[1:])
    if verb == "config":
        return _config(_parsed(rest, _CONFIG_VALUES), change)
    if verb == "remote":
        return _remote(_parsed(rest, _REMOTE_VALUES), change)
    return False


def wrote_unnamed(words: Sequence[str], change: Change) -> bool:
    """Whether a command may have made a change that its words do not name."""
    pairs = {(words[0], word) for word in words[1:]} & _INDIRECT.keys()
    return any(change.key.startswith(_INDIRECT[pair]) for pair in pairs)


def _parsed(rest: list[str], with_value: set[str]) -> _Asked:
    words: list[str] = []
    options: dict[str, str] = {}
    while rest:
        word = rest.pop(0)
        if word == "--":
            return _Asked(words + rest, options)
        # What follows a name is a value, even if it looks like an option.
        if not word.startswith("-") or (words and words[0] not in _VERBS):
            words.append(word)
        elif word in with_value:
            options[word] = rest.pop(0) if rest else ""
        else:
            name, _, value = word.partition("=")
            options[_SHORT.get(name, name)] = value
    return _Asked(words, options)


def _config(asked: _Asked, change: Change) -> bool:
    if _elsewhere(asked.options) or _READS & asked.options.keys():
        return False
    words, options = asked.words, asked.options
    action = next((action for action in _ACTIONS if action in options), "")
    if not action and words and words[0] in _SUBCOMMANDS:
        action, words = f"--{words[0]}", words[1:]
    if action == "--edit":
        return True
    if action == "--rename-section":
        old, new = (_below(words[n : n + 1], change.key) for n in (0, 1))
        return (old and not change.after) or (new and not change.before)
    if action == "--remove-section":
        return _below(words[:1], change.key) and not change.after
    if words[:1] == [] or words[0].lower() != change.key.lower():
        return False
    if action in {"--unset", "--unset-all"}:
        return change.fewer
    return len(words) > 1 and (words[1] in change.after or any(name in options for name in _TYPES))


def _elsewhere(options: dict[str, str]) -> bool:
    file = options.get("-f", options.get("--file"))
    other = file is not None and file.rpartition("/")[2] != "config"
    return other or bool({"--global", "--system", "--blob"} & options.keys())


def _below(section: Sequence[str], key: str) -> bool:
    return any(key.lower().startswith(f"{name.lower()}.") for name in section)


def _remote(asked: _Asked, change: Change) -> bool:
    verb, names = "".join(asked.words[:1]), asked.words[1:]
    section, _, last = change.key.rpartition(".")
    known = bool(names) and section == f"remote.{names[0]}"
    if verb in {"remove", "rm", "rename"} and change.key == "remote.pushdefault":
        return True
    if verb == "add":
        return known and len(names) > 1 and (last != "url" or names[1] in change.after)
    if verb in {"remove", "rm"}:
        return known and not change.after
    if verb == "rename":
        new = len(names) > 1 and section == f"remote.{names[1]}" and not change.before
        return new or (known and not change.after)
    if verb == "set-branches":
        return known and last == "fetch"
    if (
        verb != "set-url"
        or not known
        or len(names) < 2
        or last != ("pushurl" if "--push" in asked.options else "url")
    ):
        return False
    return change.fewer if "--delete" in asked.options else names[1] in change.after
