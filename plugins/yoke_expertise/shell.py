"""One line of shell, taken apart: what of it builds or tests, and what its exit status says about that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from yoke_expertise.signature import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 120

#: Programs that build and test; others teach nothing about a project.
_PROGRAMS: Final = re.compile(
    r"^(?:(?:uv|poetry|pipenv|pdm|hatch|rye) run |(?:bundle exec|npx|pnpm exec|yarn|bunx) |python3? -m |\./|"
    r"(?:\.?venv|node_modules)/\.?bin/)*"
    r"(?:pytest|tox|nox|unittest|mypy|ruff|pyright|flake8|black|pre-commit|coverage|manage\.py test|"
    r"(?:npm|pnpm|yarn|bun) (?:run |test|ci|install|build|lint|typecheck)|"
    r"jest|vitest|eslint|tsc|playwright|cypress|"
    r"make|just|cmake|ctest|ninja|bazel|meson|"
    r"cargo (?:test|build|check|clippy|fmt|nextest)|go (?:test|build|vet)|golangci-lint|"
    r"(?:\./)?gradlew?|mvnw?|dotnet (?:test|build)|rspec|rake|rubocop|phpunit|composer|mix (?:test|compile)|"
    r"swift (?:test|build)|docker(?: compose|-compose)|terraform|alembic|prisma|yoke)\b"
)
_ASSIGNMENT: Final = re.compile(r"^(?:[A-Z_][A-Z0-9_]*=\S*\s+)+")
_SHELL: Final = re.compile(r"^(?:/\S+/)?(?:ba|z)?sh\s+-l?c\s+(['\"]?)(.*)\1$", re.DOTALL)
#: Words in quotes, redirections of output, and what stands between commands; anything else is text.
_TOKENS: Final = re.compile(
    r"""(?P<kept>'[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?P<output>(?:\d|&)?>{1,2}(?:&\d|\s*[^\s;&|]+))|"""
    r"""(?P<between>&&|\|\||;|\|&?|&)"""
)


@dataclass(frozen=True, slots=True)
class Part:
    """A command that builds or tests."""

    text: str
    #: Whether it succeeded when the whole line did. Where something cuts its output, takes the blame for its
    #: failure or comes after it in any case, the line's exit status is that of something else.
    told: bool


def parts_of(script: str) -> tuple[Part, ...]:
    """The commands of one line of shell that build or test, without where their output goes."""
    inner = _SHELL.match(script.strip())
    lines = (inner[2] if inner else script).strip().splitlines()
    if len(lines) != 1:
        return ()
    parts: list[Part] = []
    for text, ends in _split(lines[0]):
        # What ends `a && b` tells of both; of what came before `;` nothing is told.
        parts = parts if ends in {"&&", ""} else [Part(each.text, told=False) for each in parts]
        if plain := _plain(text):
            parts.append(Part(plain, told=ends in {"&&", ""}))
    return tuple(parts)


def _split(line: str) -> Iterator[tuple[str, str]]:
    """Commands with what follows each of them; empty after the last one, and for `;` at the very end."""
    text, place = "", 0
    for token in _TOKENS.finditer(line):
        text, place = text + line[place : token.start()], token.end()
        if token["kept"]:
            text += token["kept"]
        elif token["between"]:
            rest = line[place:].strip()
            yield text, token["between"] if rest or token["between"] != ";" else ""
            text = ""
    yield text + line[place:], ""


def _plain(text: str) -> str:
    text = _ASSIGNMENT.sub("", " ".join(text.split()))
    whole = "`" not in text and "$(" not in text and text.count("(") == text.count(")")
    fits = whole and _PROGRAMS.match(text) and len(text) <= _LONGEST
    return clean(text, _LONGEST) if fits else ""
