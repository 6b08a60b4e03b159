"""One agent at work: started, read line by line, counted, and stopped when it spends too much."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from yokeflow.engine.processes.environment import git_settings
from yokeflow.engine.processes.process import run_process, scrubbed_environment
from yokeflow.engine.secrets.redact import redact
from yokeflow.engine.sessions.prompt import words
from yokeflow.errors import PluginError, YokeError, disk_full
from yokeflow.git.checkouts import find
from yokeflow.model import AgentReport, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.engine.processes.process import Exit
    from yokeflow.model import AgentOutput, AgentRequest, Attempt, Said

#: What an agent may say in events before the rest stays in the transcript alone.
_MOST_OUTPUTS = 200
_LONGEST_OUTPUT = 500
#: Characters of a question that are kept.
_LONGEST_QUESTION = 4000
#: Ends of a process after which a question counts.
_MAY_ASK = frozenset({"exited", "timeout", "silence"})


class Listener(Protocol):
    """Hears what an agent says."""

    def __call__(self, *, kind: str, text: str) -> None:
        """Take one piece of it."""
        ...


@dataclass(frozen=True, slots=True)
class Worked:
    """How an agent's process ended."""

    ended: Exit
    report: AgentReport
    #: Why it was stopped for what it spent; empty when it was not.
    overspent: str = ""

    @property
    def failure(self) -> str:
        """Why what the process did does not count; empty when that is for the checks to say."""
        ended = self.ended
        if self.overspent:
            return f"the session was stopped: {self.overspent}"
        match ended.why:
            case "timeout":
                return f"the agent took longer than its timeout and was stopped after {ended.seconds:.0f} s"
            case "silence":
                return f"the agent printed nothing for too long and was stopped after {ended.seconds:.0f} s"
            case "stopped":
                return "the session was stopped"
            case "unstartable":
                return f"the agent could not be started: {ended.tail.strip()}"
        return "" if self.report.ok else self.report.error or f"the agent failed with exit code {ended.code}"


def question_file(request: AgentRequest) -> Path:
    """Where an agent writes what it wants to ask a person."""
    return request.scratch / "question.md"


def answers_file(request: AgentRequest) -> Path:
    """Where an agent finds what people said about its task."""
    return request.scratch / "answers.md"


def asked_in(request: AgentRequest, worked: Worked) -> str:
    """What an agent asks a person, without secrets; empty for nothing.

    That counts for one that ended, and for one that waited for an answer until it was stopped.
    """
    file = question_file(request)
    # An agent can put anything there, a pipe or a link to a file of the user's, too.
    if worked.overspent or worked.ended.why not in _MAY_ASK or file.is_symlink() or not file.is_file():
        return ""
    with file.open("rb") as opened:
        said = opened.read(4 * _LONGEST_QUESTION).decode(errors="replace")
    return redact(said.replace("\0", "").strip())[:_LONGEST_QUESTION]


def asked_again(question: str, said: Sequence[Said]) -> str:
    """Why a question does not count that a person has answered before; empty when it counts."""
    asked = {" ".join(each.asked.split()) for each in said if each.about == "question"}
    if not question or " ".join(question.split()) not in asked:
        return ""
    return f"the agent asked what had been answered already: {question}"


class AgentProcess:
    """The process of one agent, from start to end."""

    def __init__(
        self, context: Context, attempt: Attempt, stop: asyncio.Event, listener: Listener | None = None
    ) -> None:
        self._context = context
        self._attempt = attempt
        self._stop = stop
        self._listener = listener
        self._halt = asyncio.Event()
        self._left = _MOST_OUTPUTS
        self._usage: dict[str, Usage] = {}
        self._overspent = ""

    async def run(
        self, request: AgentRequest, transcript: Path, more: Mapping[str, str] | None = None
    ) -> Worked:
        """Let the agent do what is asked; its output goes to `transcript`. `more` is for its environment.

        Raises PluginError when the agent's plugin fails, or one that watches the budget.
        """
        context, settings = self._context, self._context.config.agents
        agent, options = context.agent(self._attempt.agent)
        with self._blaming():
            reader = agent.reader(request, options)
            launch = agent.launch(request, options)

        def read(line: bytes) -> None:
            with self._blaming():
                outputs = list(reader.feed(line))
            for output in outputs:
                self._take(output)

        self._write_answers(request)
        checkout = find(context.repo, request.worktree)
        branch = await checkout.branch() if checkout else None
        names = (*settings.pass_env, *options.pass_env)
        forward = asyncio.create_task(self._forward())
        try:
            ended = await run_process(
                launch,
                cwd=request.worktree,
                env=self._environment(
                    request, branch or "", {**scrubbed_environment(names), **options.env, **(more or {})}
                ),
                transcript=transcript,
                limit=settings.transcript_limit,
                timeout=self._attempt.task.timeout or settings.timeout,
                silence=settings.silence,
                grace=settings.grace,
                mark=("YOKE_SESSION", self._attempt.session),
                on_line=read,
                stop=self._halt,
                hurry=lambda: bool(self._overspent),
            )
        finally:
            forward.cancel()
        with self._blaming():
            report = reader.finish(ended.code)
        # Some tell as they go and not at the end.
        used = report.usage or tuple(self._usage.values())
        cost = 0.0 if ended.why == "unstartable" else report.cost_usd
        # What was stopped may have used more than it told, unless it said what all of it cost.
        final = cost is not None or (report.final and ended.why == "exited")
        return Worked(ended, replace(report, usage=used, cost_usd=cost, final=final), self._overspent)

    async def run_in_repository(self, request: AgentRequest, folder: Path) -> Worked:
        """As `run`, and undo what the agent did to what all worktrees share; `folder` is the session's."""
        transcript, log, shared = folder / "output.log", folder / "git.log", self._context.shared
        if shared is None:
            return await self.run(request, transcript)
        watched = await shared.watch(log)
        try:
            return await self.run(request, transcript, watched)
        finally:
            task, session = self._attempt.task, self._attempt.session
            where = {"epic": task.epic, "task": task.id, "session": session}
            hint = "git config --local --list, git stash list, ls .git/hooks"
            for reason in await shared.put_right(log):
                self._context.recorder.emit("warning.raised", **where, reason=redact(reason), hint=hint)

    async def _forward(self) -> None:
        await self._stop.wait()
        self._halt.set()

    def _take(self, output: AgentOutput) -> None:
        if output.usage is not None:
            self._count(output.usage)
        if self._listener is not None and self._left > 0 and (text := output.text.strip()):
            self._left -= 1
            self._listener(kind=output.kind, text=redact(text)[:_LONGEST_OUTPUT])

    def _count(self, used: Usage) -> None:
        before = self._usage.get(used.model, Usage(used.model))
        self._usage[used.model] = replace(
            before,
            input=before.input + used.input,
            output=before.output + used.output,
            cache_read=before.cache_read + used.cache_read,
            cache_write=before.cache_write + used.cache_write,
        )
        if not self._overspent:
            self._overspent = self._context.decide.spending(self._attempt, tuple(self._usage.values()))
            if self._overspent:
                self._halt.set()

    def _environment(self, request: AgentRequest, branch: str, usual: dict[str, str]) -> dict[str, str]:
        """What the agent sees: git's hooks of ours, where it belongs, how it can ask."""
        hooks = git_settings(usual, self._context.session_git)
        marks = {**self._marks(), "YOKE_WORKTREE": str(request.worktree), "YOKE_BRANCH": branch}
        return {**usual, **hooks, **marks, **self._asking(request)}

    def _marks(self) -> dict[str, str]:
        """How processes of the session, and the git hooks they run, know where they belong."""
        task = self._attempt.task
        return {
            "YOKE_SESSION": self._attempt.session,
            "YOKE_RUN": self._attempt.run,
            "YOKE_TASK": task.id,
            "YOKE_EPIC": task.epic,
        }

    def _asking(self, request: AgentRequest) -> dict[str, str]:
        """How an agent can ask a person, and where the answers are."""
        if request.question:
            return {}
        answers = {"YOKE_ANSWERS": str(answers_file(request))}
        if not self._context.config.agents.questions:
            return answers
        return {**answers, "YOKE_QUESTION": str(question_file(request))}

    def _write_answers(self, request: AgentRequest) -> None:
        """For an agent that reads no prompt, what people said; an empty file where nobody said anything."""
        if request.question:
            return
        said = redact("\n\n".join(words(each) for each in self._attempt.said))
        try:
            answers_file(request).write_text(f"{said}\n" if said else "", encoding="utf-8")
        except OSError as error:
            raise disk_full(error) from error

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """What an agent's plugin raises names the agent."""
        try:
            yield
        except YokeError:
            raise
        except Exception as error:
            raise PluginError(
                f"of agent {self._attempt.agent}", repr(error), hint="use another agent, or update it"
            ) from error
