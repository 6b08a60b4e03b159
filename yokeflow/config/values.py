"""What the values of settings look like, and the base of every section."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yokeflow import globs
from yokeflow.document import parse_count, parse_duration, parse_size, shorten

#: At most 63 characters. The table `agent_profiles` has the same rule.
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*", re.ASCII)


def inside(value: str) -> str:
    """Checks that a folder is in the repository and not its own."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] in {(), (".git",)}:
        raise ValueError("must be a folder inside the repository: write a name such as .worktrees")
    return value


def prefix(value: str) -> str:
    """Checks what is put before the name of a branch."""
    odd = any(part in value for part in ("..", "//", "/.", "./", ".lock/"))
    # Tasks that have a worktree of their own are on `lane/…`; git takes `refs/…` for a full name.
    if odd or not _PREFIX.fullmatch(value) or value.startswith(("lane/", "refs/")):
        raise ValueError(f"{value!r} cannot begin a branch's name: write something like epic/ or team/epic-")
    return value


def _glob(value: str) -> str:
    if reason := globs.fault(value):
        raise ValueError(f"{shorten(value)} {reason}: write it relative to the repository, such as src/**")
    if not globs.is_plain(value):
        raise ValueError(f"{shorten(value)} has braces, backslashes or a ** in a name: write several globs")
    return value


def _slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise ValueError(
            f"{shorten(value)} is no name: write small letters, digits and dashes, such as api-coder"
        )
    return value


Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Dollars = Annotated[float, Field(ge=0)]
Tokens = Annotated[int, BeforeValidator(parse_count), Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Glob = Annotated[str, AfterValidator(_glob)]
Slug = Annotated[str, AfterValidator(_slug)]
Tier = Literal["fast", "balanced", "powerful"]


class Section(BaseModel):
    """A group of keys. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        """A heading whose keys are all commented out is an empty section."""
        return {} if value is None else value
