"""Events: append-only facts, each one JSON object. What is not an event did not happen.

The engine appends every event to the journal before anything else relies on it; the store applies the
journal in order, once. `yoke run --json` prints the same objects. This is what each type carries beside the
common fields; `[]` marks a list, `?` what may be missing:

    run.started           target, target_commit, strategy, concurrency, budget_usd?, pid, host,
                          batches[[task]], critical_path[task], options, before{landed[epic], skipped[task],
                          failed{task: reason}, held{epic: {kind, reason}}}
    plan.changed          added[item], changed[item], gone[item] (up to 50 of each),
                          numbers{added, changed, gone}
    run.paused            by
    run.continued         by
    run.finished          state (completed, failed, cancelled, interrupted), exit_code, reason
    task.ready
    worktree.created      lane, path, branch, base_commit
    worktree.removed      lane, branch
    budget.reserved       amount_usd?, tokens?, cap_usd?
    budget.warned         scope (task, epic, run, day), name, unit (usd, tokens, sessions), limit, used, mark
    budget.exceeded       reason, scope, name
    session.started       attempt, agent, profile, model, tier, model_reason, choice{},
                          reserved{usd?, tokens?, cap_usd?}, lane, branch, worktree, base_commit, folder
    session.output        kind (text, tool, note), text
    session.finished      state (completed, failed, interrupted), reason, output, exit_code?, seconds,
                          cost_usd?, cost_source (agent, prices, least, unknown), usage[{model, input,
                          output, cache_read, cache_write}], head_commit?, kept_ref, answer
    check.finished        stage (task, landing), command, tree, environment, passed, flaky, tries,
                          exit_code, seconds, log, reused, source (the check.finished that was reused)
    task.completed        commit, seconds
    task.rebased          commit, was (the commit that a person has rewritten, or moved)
    task.failed           reason, attempts
    task.blocked          by[task]
    task.skipped          by, reason
    task.reopened         by, reason
    epic.completed
    landing.queued
    landing.testing       commit, tree, old_commit, epic_commit, target
    landing.landed        commit, tree, tested_tree (of the batch, else the same), old_commit, epic_commit,
                          target, strategy, seconds, tasks[task], brings_back? (commit that undid it), by?,
                          conflicts? (ours, theirs)
    landing.undone        commit (which took it back), landing (the commit that landed), by, reason,
                          old_commit?, tree?, target?, tasks{task: commit}?
    landing.rejected      reason, output
    landing.conflicted    files[path], with_commit, old_commit, epic_commit
    forecast.conflicted   with_epic (empty for the target), target, files[path], more, new[path],
                          tasks{epic: [task]}
    forecast.cleared      with_epic, target, files[path]
    handover.conflicted   with_epic (empty for the target), target?, files[path]
    handover.resolved     taken (task), how (agent), files[path], with_commit, old_commit, commit
    landing.resolved      how (agent, ours, theirs), files[path], with_commit, old_commit, commit (the new tip
                          of the epic's branch)
    intervention.opened   intervention, kind, reason, choices[], stage? (before, after), commits?[],
                          kept_ref?, rejected?
    intervention.resolved intervention, choice, by, text?
    expertise.recalled    given[memory], held_out[memory]
    expertise.learned     items[{memory, change, text}]
    expertise.revised     versions{domain: number}, validated[memory], pruned[memory]
    agent.asking          operation, agent, model, reserved{usd?, tokens?, cap_usd?}
    agent.asked           as agent.asking; seconds, ok, cost_usd?, cost_source, usage[] as above
    control.requested     action (pause, continue, cancel, retry, skip, land, approve, reject, answer,
                          dismiss), item, by, intervention?, text?, confirm?, take? (ours, theirs)
    control.applied       request, action, item, by, outcome (done, refused, clash), reason
    commit.recorded       commit, parents[], subject, author, writer (agent, person, yoke), branch, named
    commit.replaced       commit, by?, how (amend, rebase, gone)
    merge.recorded        as commit.recorded
    store.lost            reason
    store.found
    store.rebuilt         landings, sessions, items[item]: what git knew and the store did not
    plugin.failed         plugin, hook, error
    warning.raised        reason, hint
    event.refused         event_type, error, data{} (in the table `events` alone: a plugin's trigger failed)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMON = ("id", "at", "run", "type", "epic", "task", "session")
#: What events of the core are about. A plugin records events about other things.
CORE_SUBJECTS = frozenset(
    (
        *("run", "task", "epic", "session", "check", "worktree", "landing", "intervention", "control"),
        *("plan", "store", "agent", "plugin", "warning", "event", "commit", "merge", "forecast", "handover"),
    )
)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `data` holds what its type carries beside the common fields."""

    type: str
    #: UUID of the run; empty for facts outside any run.
    run: str = ""
    epic: str = ""
    task: str = ""
    session: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> str:
        """One line without a newline; common fields that are empty are left out."""
        common = {"id": self.id, "at": self.at.isoformat(), "run": self.run, "type": self.type}
        where = {name: getattr(self, name) for name in ("epic", "task", "session") if getattr(self, name)}
        return json.dumps({**common, **where, **self.data}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises ValueError or KeyError for anything else.
        """
        raw: dict[str, Any] = json.loads(line)
        data = {key: value for key, value in raw.items() if key not in _COMMON}
        return cls(
            id=raw["id"],
            at=datetime.fromisoformat(raw["at"]),
            run=raw.get("run", ""),
            type=raw["type"],
            epic=raw.get("epic", ""),
            task=raw.get("task", ""),
            session=raw.get("session", ""),
            data=data,
        )
