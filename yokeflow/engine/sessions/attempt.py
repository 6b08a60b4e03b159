"""One attempt of one agent at one task: from a clean lane to checked commits, or back to where it started."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from yokeflow.engine.lanes.guard import at_work, guard_target, known_target
from yokeflow.engine.lanes.lanes import HandOverConflictError
from yokeflow.engine.secrets.redact import redact
from yokeflow.engine.sessions.accounting import set_aside, told
from yokeflow.engine.sessions.agent_process import AgentProcess, asked_again, asked_in
from yokeflow.engine.sessions.agent_request import write_request
from yokeflow.engine.sessions.boundaries import trespass
from yokeflow.engine.sessions.checks import Subject
from yokeflow.engine.sessions.prompt import build_prompt
from yokeflow.errors import GitError, RepositoryError, YokeError
from yokeflow.git.checkouts import find
from yokeflow.git.strays import note_branches
from yokeflow.model import AgentReport, Failure, SessionResult

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import Lanes, Place
    from yokeflow.events import Event
    from yokeflow.model import AgentRequest, Attempt, ModelChoice, Reservation, Task, Usage

#: Characters of an answer that are kept.
_LONGEST_ANSWER = 500
#: How often git may fail at what keeps untested work off the target.
_GUARD_TRIES = 3
#: Characters of output that are kept with a failure.
_TAIL = 4000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt."""

    #: `completed`, `failed` or `interrupted`
    state: str
    #: The commit that holds the finished work; empty unless completed.
    commit: str = ""
    failure: Failure | None = None
    seconds: float = 0.0
    cost_usd: float | None = None
    #: What the agent asks a person instead of finishing; empty for nothing.
    question: str = ""
    #: The work is finished and counts once a person approves.
    submitted: bool = False

    @property
    def waits(self) -> bool:
        """Whether a person has the next word."""
        return self.submitted or bool(self.question)


@dataclass(frozen=True, slots=True)
class _Work:
    """What an agent left behind."""

    report: AgentReport
    #: Tip of the lane, with everything committed and signed with trailers.
    head: str
    failure: Failure | None = None
    exit_code: int | None = None
    #: What the agent asks a person.
    question: str = ""


#: Gives the event that asks a person what a session ended with; `kept` is the ref of its work.
Ask = Callable[["Task", Outcome, str], "Event"]


class Session:
    """One attempt while it runs."""

    def __init__(
        self,
        context: Context,
        lanes: Lanes,
        attempt: Attempt,
        place: Place,
        stop: asyncio.Event,
        ask: Ask,
    ) -> None:
        self._context = context
        self._lanes = lanes
        self._attempt = attempt
        self._place = place
        self._stop = stop
        self._ask = ask
        self._folder = context.project.session_folder(attempt.session)
        self._conflicts: tuple[str, ...] = ()
        #: What the agent said at its end; it counts, and costs, whatever becomes of the work.
        self._report = AgentReport(ok=False)
        #: Nothing before the agent starts, and unknown until it tells.
        self._cost_usd: float | None = 0.0
        self._cost_source = "agent"
        self._usage: tuple[Usage, ...] = ()
        self._reserved: Reservation | None = None
        self._result: SessionResult | None = None

    async def run(self) -> Outcome:
        """Do the attempt in its prepared lane.

        The lane ends at the finished work, or where it started with the attempt kept under `refs/yoke/keep/`.
        Raises LimitError when the budget refuses the session, PluginError when a needed plugin fails.
        """
        await self._begin()
        started = monotonic()
        try:
            work = await self._work()
            outcome = await self._finish(work, started)
        except GitError as error:
            # An agent can wreck a worktree in ways git cannot read; that costs the attempt, not the run.
            work = _Work(self._report, self._place.base, Failure(redact(error.message)))
            # What the agent did is kept by this; the next one must not start with it.
            with suppress(GitError):
                await self._lanes.restore(self._place)
            state = "interrupted" if self._stop.is_set() else "failed"
            outcome = Outcome(state, "", work.failure, round(monotonic() - started, 3), self._cost_usd)
            self._record(work, outcome, "")
        failure = outcome.failure or Failure("")
        self._result = SessionResult(
            self._attempt,
            self._attempt.agent,
            self._attempt.model,
            outcome.state,
            failure.reason,
            outcome.seconds,
            work.report,
            output=failure.output,
            base_commit=self._place.base,
            head_commit=work.head,
            cost_usd=outcome.cost_usd,
        )
        await self._context.decide.settle(self._result)
        return outcome

    async def learn(self) -> None:
        """Let plugins take what the session teaches, once it is over."""
        context = self._context
        if self._result is not None and context.config.learning.enabled:
            await context.decide.learn(self._result, self._folder / "output.log", context.recorder)

    async def _begin(self) -> None:
        """Choose the model and set money aside, and record both with the start, in one write."""
        decide, attempt = self._context.decide, self._attempt
        choice = decide.model(attempt, decide.budget(attempt))
        if choice is not None:
            attempt = self._attempt = replace(attempt, model=choice.model, tier=choice.tier)
        self._reserved = await decide.reserve(attempt)
        recorder, start = self._context.recorder, {**self._start(choice), "reserved": told(self._reserved)}
        recorder.record(
            *set_aside(recorder, self._where, self._reserved),
            recorder.event("session.started", **self._where, **start),
        )

    def _start(self, choice: ModelChoice | None) -> dict[str, Any]:
        return {
            "attempt": self._attempt.number,
            "agent": self._attempt.agent,
            "profile": self._attempt.profile.name if self._attempt.profile else "",
            "model": self._attempt.model,
            "tier": self._attempt.tier,
            "model_reason": choice.reason if choice else "",
            "choice": dict(choice.details) if choice else {},
            "lane": self._place.lane.id,
            "branch": self._place.lane.branch,
            "worktree": str(self._place.path),
            "base_commit": self._place.base,
            "folder": str(self._folder),
        }

    async def _work(self) -> _Work:
        """Let the agent work, then collect and check what it did."""
        request = await self._request()
        branches = await self._context.repo.branches()
        note_branches(self._folder, branches)
        target = await known_target(self._context)
        process = AgentProcess(self._context, self._attempt, self._stop, self._say)
        self._cost_usd, self._cost_source = None, "unknown"
        with at_work(self._context, self._place.path, self._place.base):
            worked = await process.run_in_repository(request, self._folder)
            moved = await self._guard(target)
        report, code = worked.report, worked.ended.code
        self._account(report)
        question = asked_in(request, worked) if self._context.config.agents.questions else ""
        again = asked_again(question, self._attempt.said)
        head = await self._collect(branches)
        if head is None:
            reason = f"the agent left branch {self._place.lane.branch} and did not build on it"
            return _Work(report, self._place.base, Failure(reason, worked.ended.tail[-_TAIL:]), code)
        failure = (
            (Failure(moved) if moved else None)
            or (Failure(again or f"the agent asks a person: {question}") if question else None)
            or (Failure(worked.failure, worked.ended.tail[-_TAIL:]) if worked.failure else None)
            or self._undone(head)
            or await self._trespass(head)
            or await self._check(head)
        )
        # Output comes redacted; a reason can hold what an agent said or a command of a check.
        failure = failure and replace(failure, reason=redact(failure.reason))
        return _Work(report, head, failure, code, "" if moved or again else question)

    async def _guard(self, target: str | None) -> str:
        """Why nothing of it counts, by what it did to the target; empty for nothing.

        Where git fails at that, the session stays open: the next run looks again, before anything lands.
        """
        for _ in range(_GUARD_TRIES):
            try:
                return await guard_target(self._context, self._place.path, target, self._place.base)
            except GitError as error:
                failed = error.message
        raise YokeError(f"{self._context.target} may have what was not tested: {failed}", hint="yoke resume")

    def _account(self, report: AgentReport) -> None:
        self._report = report
        self._cost_usd, self._cost_source, self._usage = self._context.priced(report)

    async def _trespass(self, head: str) -> Failure | None:
        """Why the profile does not allow what was changed."""
        profile = self._attempt.profile
        if profile is None or not (profile.may_change or profile.must_not_change):
            return None
        reason = trespass(profile, await self._context.repo.changed_files(self._place.base, head))
        return Failure(reason) if reason else None

    async def _request(self) -> AgentRequest:
        context, attempt = self._context, self._attempt
        lessons = []
        if context.config.learning.enabled:
            lessons = await context.decide.recall(attempt, context.recorder)
        epic = context.plan.epic[attempt.task.epic]
        asks = context.config.agents.questions
        branch = self._place.lane.branch
        prompt = redact(build_prompt(attempt, epic, branch, self._commands, lessons, questions=asks))
        cap = self._reserved.cap_usd if self._reserved else None
        return write_request(context, attempt, prompt, self._place.path, cap)

    async def _collect(self, branches: set[str]) -> str | None:
        """Commit what is left and put trailers on every commit.

        Returns the lane's new tip; None when the agent's commits do not build on where it started.
        """
        context, place, attempt = self._context, self._place, self._attempt
        branch = place.lane.branch
        trailers = {"Yoke-Task": attempt.task.id, "Yoke-Session": attempt.session}
        if not place.path.is_dir():
            await context.worktrees.open(place.lane.id, branch, place.base)
        made = await context.worktrees.adopt(place.path, branch, place.base, branches)
        if made is None:
            return None
        self._conflicts = await self._unmerged()
        message = f"{attempt.task.title}\n"
        left = await context.repo.commit_all(place.path, message, trailers, base=place.base)
        head = left or made
        if made == place.base:
            # The only commit, if there is one, is ours.
            return head
        own = {branch, *(await context.repo.branches() - branches)}
        stamped = await context.repo.stamp(place.base, head, trailers, own=own)
        if stamped != head:
            await context.worktrees.reset(place.path, branch, stamped)
        return stamped

    async def _unmerged(self) -> tuple[str, ...]:
        """Files that the agent left in conflict."""
        checkout = find(self._context.repo, self._place.path)
        return tuple(await checkout.unmerged()) if checkout and checkout.is_merging() else ()

    def _undone(self, head: str) -> Failure | None:
        """Why what is there cannot be what was asked for."""
        if self._conflicts:
            return Failure(
                f"the agent left a merge unfinished, with conflicts in {', '.join(self._conflicts)}"
            )
        if head == self._place.base and not self._attempt.task.allow_empty:
            return Failure("the agent changed nothing")
        return None

    @property
    def _commands(self) -> Sequence[str]:
        return (*self._context.config.checks.task, *self._attempt.task.verify)

    async def _check(self, head: str) -> Failure | None:
        context, attempt = self._context, self._attempt
        if not self._commands:
            return None
        verdict = await context.checker.run(
            self._commands,
            await context.repo.tree_of(head),
            self._place.path,
            self._folder,
            Subject("task", attempt.task.epic, attempt.task.id, attempt.session),
            attempt.session,
            restore=lambda: self._lanes.restore(self._place, head),
            stop=self._stop,
        )
        return None if verdict.passed else Failure(verdict.reason, verdict.output)

    async def _finish(self, work: _Work, started: float) -> Outcome:
        """Join or take back; record session and completion in one write, so that neither stands alone."""
        if work.failure is None and self._commands:
            # Checks may leave files behind; the next task of the lane must not find them.
            await self._lanes.restore(self._place, work.head)
        submitted = work.failure is None and self._attempt.task.approve == "after"
        commit, failure = (work.head, None) if submitted else await self._join(work)
        kept = ""
        if failure is not None or submitted:
            if work.head != self._place.base:
                kept = await self._context.repo.keep(
                    f"{self._attempt.task.id}/{self._attempt.session}", work.head
                )
            await self._lanes.restore(self._place)
        stopped = self._stop.is_set()
        question = "" if stopped else work.question
        state = "completed" if failure is None else "interrupted" if stopped or question else "failed"
        seconds = round(monotonic() - started, 3)
        outcome = Outcome(state, commit, failure, seconds, self._cost_usd, question, submitted)
        self._record(work, outcome, kept)
        return outcome

    async def _join(self, work: _Work) -> tuple[str, Failure | None]:
        if work.failure is not None:
            return "", work.failure
        try:
            return await self._lanes.join(self._place, work.head), None
        except (HandOverConflictError, RepositoryError) as error:
            return "", Failure(error.message)

    def _record(self, work: _Work, outcome: Outcome, kept: str) -> None:
        recorder, task, failure = self._context.recorder, self._attempt.task, outcome.failure
        events = [
            recorder.event(
                "session.finished",
                **self._where,
                state=outcome.state,
                reason=failure.reason if failure else "",
                output=failure.output if failure else "",
                exit_code=work.exit_code,
                seconds=outcome.seconds,
                cost_usd=self._cost_usd,
                cost_source=self._cost_source,
                usage=[asdict(used) for used in self._usage],
                head_commit=work.head,
                kept_ref=kept,
                answer=redact(work.report.answer)[:_LONGEST_ANSWER],
            )
        ]
        if outcome.waits:
            events.append(self._ask(task, outcome, kept))
        elif outcome.state == "completed":
            done = recorder.event(
                "task.completed", epic=task.epic, task=task.id, commit=outcome.commit, seconds=outcome.seconds
            )
            events.append(done)
        recorder.record(*events)

    def _say(self, *, kind: str, text: str) -> None:
        self._context.recorder.emit("session.output", **self._where, kind=kind, text=text)

    @property
    def _where(self) -> dict[str, str]:
        task = self._attempt.task
        return {"epic": task.epic, "task": task.id, "session": self._attempt.session}
