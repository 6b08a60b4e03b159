"""What the values of settings look like, and the base of every section."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yokeflow import globs
from yokeflow.document import parse_count, parse_duration, parse_size, shorten
from yokeflow.model import LANE_PREFIX

Tier = Literal["fast", "balanced", "powerful"]
#: Words for priorities of tasks, in the plan and in settings.
PRIORITIES: Final = {"critical": 0, "high": 2, "normal": 5, "low": 8}
#: The store keeps money as numeric(12, 6) and counts as bigint.
_DOLLARS_END, _LEAST_DOLLARS, _LARGEST = 1_000_000, 0.000_001, 2**63 - 1

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
    if odd or not _PREFIX.fullmatch(value) or value.startswith((LANE_PREFIX, "refs/")):
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


def _number(value: object) -> object:
    """YAML's `yes` and `true` would pass for 1."""
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueErrors alone
            f"must be a number, not {str(value).lower()}: write a number, such as 1"
        )
    return value


def _dollars(value: object) -> float:
    try:
        amount = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type] # told below
    except OverflowError:
        amount = math.inf
    except (TypeError, ValueError):
        amount = math.nan
    if math.isnan(amount):
        said = str(value).lower() if isinstance(value, bool) else shorten(value)
        raise ValueError(f"{said} is no amount of dollars: write it like 0.5 or 20")
    if amount >= _DOLLARS_END:
        raise ValueError(f"{shorten(value)} is more than can be kept: write less than {_DOLLARS_END}")
    if 0 < amount < _LEAST_DOLLARS:
        raise ValueError(f"{shorten(value)} is less than can be kept: write 0, or {_LEAST_DOLLARS:f} or more")
    return amount


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("a name is empty: write one, or remove the key")
    return value


def _priority(value: str) -> str:
    if value.lower() not in PRIORITIES and value not in set("0123456789"):
        raise ValueError(f"{shorten(value)} is no priority: write 0 to 9, or {', '.join(PRIORITIES)}")
    return value


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"{value[0]:g} is more than {value[1]:g}: write the smaller one first")
    return value


#: Before a field's validation; stands behind its bounds, so that the schema tells them.
NUMBER: Final = BeforeValidator(_number)
Seconds = Annotated[float, Field(gt=0), BeforeValidator(parse_duration)]
Bytes = Annotated[int, Field(gt=0), BeforeValidator(parse_size)]
Dollars = Annotated[float, Field(ge=0), BeforeValidator(_dollars)]
Tokens = Annotated[int, Field(ge=0, le=_LARGEST), BeforeValidator(parse_count)]
Whole = Annotated[int, Field(le=_LARGEST), NUMBER]
Share = Annotated[float, Field(ge=0, le=1), NUMBER]
Shares = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
Name = Annotated[str, AfterValidator(_name)]
Priority = Annotated[str, AfterValidator(_priority)]
Glob = Annotated[str, AfterValidator(_glob)]
Slug = Annotated[str, AfterValidator(_slug)]


class Section(BaseModel):
    """A group of keys. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        """A heading whose keys are all commented out is an empty section."""
        return {} if value is None else value
