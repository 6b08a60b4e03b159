"""One attempt of one agent at one task: from a clean lane to checked commits, or back to where it started."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from yokeflow.engine.checks import Subject
from yokeflow.engine.lanes import HandOverConflictError
from yokeflow.engine.process import run_process, scrubbed_environment
from yokeflow.engine.prompt import build_prompt
from yokeflow.engine.redact import redact
from yokeflow.errors import GitError, PluginError, RefMovedError, YokeError, disk_full
from yokeflow.git.checkouts import find
from yokeflow.model import AgentReport, AgentRequest, Failure, SessionResult

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from yokeflow.config import AgentOptions
    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes import Lanes, Place
    from yokeflow.engine.process import Exit
    from yokeflow.hookspecs import AgentReader
    from yokeflow.model import Attempt, Launch, ModelChoice

#: What an agent may say in events before the rest stays in the transcript alone.
_MOST_OUTPUTS = 200
_LONGEST_OUTPUT = 500
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


@dataclass(frozen=True, slots=True)
class _Work:
    """What an agent left behind."""

    report: AgentReport
    #: Tip of the lane, with everything committed and signed with trailers.
    head: str
    failure: Failure | None = None
    exit_code: int | None = None


class Session:
    """One attempt while it runs."""

    def __init__(
        self, context: Context, lanes: Lanes, attempt: Attempt, place: Place, stop: asyncio.Event
    ) -> None:
        self._context = context
        self._lanes = lanes
        self._attempt = attempt
        self._place = place
        self._stop = stop
        self._folder = context.project.session_folder(attempt.session)
        self._conflicts: tuple[str, ...] = ()
        #: What the agent said at its end; it counts, and costs, whatever becomes of the work.
        self._report = AgentReport(ok=False)

    async def run(self) -> Outcome:
        """Do the attempt in its prepared lane.

        The lane ends at the finished work, or where it started with the attempt kept under `refs/yoke/keep/`.
        Raises LimitError when the budget refuses the session, PluginError when a needed plugin fails.
        """
        context, attempt = self._context, self._attempt
        name = context.agent_of(attempt.task)
        reserved = await context.decide.reserve(attempt)
        choice = context.decide.model(attempt, name)
        if reserved is not None:
            self._emit("budget.reserved", amount_usd=reserved)
        started = monotonic()
        self._begin(name, choice)
        model = choice.model if choice else ""
        try:
            work = await self._work(name, model)
            outcome = await self._finish(work, started)
        except GitError as error:
            # An agent can wreck a worktree in ways git cannot read; that costs the attempt, not the run.
            work = _Work(self._report, self._place.base, Failure(error.message))
            state = "interrupted" if self._stop.is_set() else "failed"
            seconds = round(monotonic() - started, 3)
            outcome = Outcome(state, "", work.failure, seconds, self._report.cost_usd)
            self._record(work, outcome, "")
        reason = outcome.failure.reason if outcome.failure else ""
        result = SessionResult(attempt, name, model, outcome.state, reason, outcome.seconds, work.report)
        await context.decide.settle(result)
        if context.config.learning.enabled:
            await context.decide.learn(result, self._folder / "output.log", context.recorder)
        return outcome

    def _begin(self, agent: str, choice: ModelChoice | None) -> None:
        self._emit(
            "session.started",
            attempt=self._attempt.number,
            agent=agent,
            model=choice.model if choice else "",
            model_reason=choice.reason if choice else "",
            lane=self._place.lane.id,
            branch=self._place.lane.branch,
            worktree=str(self._place.path),
            base_commit=self._place.base,
            folder=str(self._folder),
        )

    async def _work(self, name: str, model: str) -> _Work:
        """Let the agent work, then collect and check what it did."""
        agent, options = self._context.agent(name)
        request = await self._request(model)
        branches = await self._context.repo.branches()
        target = await self._context.repo.branch(self._context.target)
        with _blaming(name):
            reader = agent.reader(request, options)
            launch = agent.launch(request, options)
        ended = await self._run_agent(launch, options, request, reader)
        with _blaming(name):
            report = self._report = reader.finish(ended.code)
        trespass = await self._guard_target(target)
        head = await self._collect(branches)
        if head is None:
            reason = f"the agent left branch {self._place.lane.branch} and did not build on it"
            return _Work(report, self._place.base, Failure(reason, ended.tail[-_TAIL:]), ended.code)
        failure = trespass or _failure(ended, report) or self._undone(head) or await self._check(head)
        return _Work(report, head, failure, ended.code)

    async def _request(self, model: str) -> AgentRequest:
        context, attempt = self._context, self._attempt
        lessons = []
        if context.config.learning.enabled:
            lessons = await context.decide.recall(attempt, context.recorder)
        epic = context.plan.epic[attempt.task.epic]
        prompt = redact(build_prompt(attempt, epic, self._place.lane.branch, self._commands, lessons))
        scratch, prompt_file = self._folder / "scratch", self._folder / "prompt.md"
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            prompt_file.write_text(prompt, encoding="utf-8")
        except OSError as error:
            raise disk_full(error) from error
        return AgentRequest(attempt, prompt, prompt_file, self._place.path, scratch, model)

    async def _run_agent(
        self, launch: Launch, options: AgentOptions, request: AgentRequest, reader: AgentReader
    ) -> Exit:
        settings, left = self._context.config.agents, _MOST_OUTPUTS

        def show(line: bytes) -> None:
            nonlocal left
            with _blaming(self._context.agent_of(self._attempt.task)):
                outputs = list(reader.feed(line))
            for output in outputs:
                if left > 0 and output.text.strip():
                    left -= 1
                    text = redact(output.text.strip())[:_LONGEST_OUTPUT]
                    self._emit("session.output", kind=output.kind, text=text)

        names = (*settings.pass_env, *options.pass_env)
        environment = {**scrubbed_environment(names), **options.env, **self._marks()}
        return await run_process(
            launch,
            cwd=request.worktree,
            env=environment,
            transcript=self._folder / "output.log",
            limit=settings.transcript_limit,
            timeout=self._attempt.task.timeout or settings.timeout,
            silence=settings.silence,
            grace=settings.grace,
            mark=("YOKE_SESSION", self._attempt.session),
            on_line=show,
            stop=self._stop,
        )

    async def _guard_target(self, before: str | None) -> Failure | None:
        """Why the attempt does not count, when the agent brought commits of its own onto the target.

        The target goes back if nothing else came there meanwhile; else the landing tests what is there.
        """
        repo, target, path = self._context.repo, self._context.target, self._place.path
        now = await repo.branch(target)
        if now is None or before is None or now == before or not path.is_dir():
            return None
        made = await self._made_here()
        gained = {commit.oid for commit in await repo.commits(before, now)}
        if not made & gained:
            return None
        if gained <= made and await repo.is_ancestor(before, now):
            with suppress(RefMovedError):
                await repo.update_ref(
                    f"refs/heads/{target}", before, now, "yoke: take back what was not tested"
                )
        return Failure(f"the agent moved {target}, where only tested work may land")

    async def _made_here(self) -> set[str]:
        """The commits that were made in the lane's worktree, by what git noted of its HEAD."""
        noted = await self._context.repo.git(
            "log", "-g", "--format=%H %gs", "HEAD", cwd=self._place.path, ok=(0, 128)
        )
        entries = (line.partition(" ") for line in noted.text.splitlines())
        return {oid for oid, _, what in entries if what.startswith(("commit", "cherry-pick", "revert"))}

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
        if checkout is None or not checkout.is_merging():
            return ()
        out = await self._context.repo.git(
            "diff", "--name-only", "--diff-filter=U", "-z", cwd=self._place.path, ok=(0, 128)
        )
        return tuple(out.parts)

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
        commit, failure = await self._join(work)
        kept = ""
        if failure is not None:
            if work.head != self._place.base:
                kept = await self._context.repo.keep(
                    f"{self._attempt.task.id}/{self._attempt.session}", work.head
                )
            await self._lanes.restore(self._place)
        state = "completed" if failure is None else "interrupted" if self._stop.is_set() else "failed"
        outcome = Outcome(state, commit, failure, round(monotonic() - started, 3), work.report.cost_usd)
        self._record(work, outcome, kept)
        return outcome

    async def _join(self, work: _Work) -> tuple[str, Failure | None]:
        if work.failure is not None:
            return "", work.failure
        try:
            return await self._lanes.join(self._place, work.head), None
        except HandOverConflictError as error:
            return "", Failure(error.message)

    def _record(self, work: _Work, outcome: Outcome, kept: str) -> None:
        recorder, task, failure = self._context.recorder, self._attempt.task, outcome.failure
        events = [
            recorder.event(
                "session.finished",
                epic=task.epic,
                task=task.id,
                session=self._attempt.session,
                state=outcome.state,
                reason=failure.reason if failure else "",
                output=failure.output if failure else "",
                exit_code=work.exit_code,
                seconds=outcome.seconds,
                cost_usd=work.report.cost_usd,
                usage=[asdict(usage) for usage in work.report.usage],
                head_commit=work.head,
                kept_ref=kept,
                answer=redact(work.report.answer)[:_LONGEST_OUTPUT],
            )
        ]
        if outcome.state == "completed":
            done = recorder.event(
                "task.completed", epic=task.epic, task=task.id, commit=outcome.commit, seconds=outcome.seconds
            )
            events.append(done)
        recorder.record(*events)

    def _emit(self, type_: str, **data: Any) -> None:
        task = self._attempt.task
        self._context.recorder.emit(
            type_, epic=task.epic, task=task.id, session=self._attempt.session, **data
        )

    def _marks(self) -> dict[str, str]:
        """How processes of the session, and the git hooks they run, know where they belong."""
        task = self._attempt.task
        return {
            "YOKE_SESSION": self._attempt.session,
            "YOKE_RUN": self._attempt.run,
            "YOKE_TASK": task.id,
            "YOKE_EPIC": task.epic,
        }


@contextmanager
def _blaming(agent: str) -> Iterator[None]:
    """What an agent's plugin raises names the agent."""
    try:
        yield
    except YokeError:
        raise
    except Exception as error:
        raise PluginError(f"of agent {agent}", repr(error), hint="use another agent, or update it") from error


def _failure(ended: Exit, report: AgentReport) -> Failure | None:
    """Why the process itself does not count; None when it is for the checks to say."""
    output = ended.tail[-_TAIL:]
    match ended.why:
        case "timeout":
            return Failure(
                f"the agent took longer than its timeout and was stopped after {ended.seconds:.0f} s", output
            )
        case "silence":
            return Failure(
                f"the agent printed nothing for too long and was stopped after {ended.seconds:.0f} s", output
            )
        case "stopped":
            return Failure("the session was stopped", output)
        case "unstartable":
            return Failure(f"the agent could not be started: {ended.tail.strip()}", output)
    return (
        None
        if report.ok
        else Failure(report.error or f"the agent failed with exit code {ended.code}", output)
    )
