"""Turns a plan into predecessors, batches, the critical path and lanes; orders what is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yoke_resolver.resolve import resolve
from yoke_resolver.urgency import by_urgency
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from yokeflow.config import Config
    from yokeflow.model import Plan, Resolution, Task


@hookimpl
def resolve_dependencies(
    plan: Plan, config: Config, finished: Collection[str], learned: Mapping[str, float]
) -> Resolution:
    return resolve(plan, config.parallel.strategy, finished, learned)


@hookimpl
def order_ready(ready: Sequence[Task], resolution: Resolution) -> Sequence[str]:
    return by_urgency(ready, resolution)
