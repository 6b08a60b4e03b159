"""The commands by name: known here without importing any of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command lives and what the overview says about it."""

    #: Module whose `command` is the click command; for one of a plugin, the plugin.
    module: str
    help: str


#: The core's, in the order in which a new user meets them. No plugin may take one of these names.
CORE: dict[str, Entry] = {
    "demo": Entry("yokeflow.cli.demo", "Make a small project and run its plan, to see how it works."),
    "init": Entry("yokeflow.cli.init", "Write a commented configuration and a first plan."),
    "doctor": Entry("yokeflow.cli.doctor", "Check what a run needs, with a remedy for each fault."),
    "plan": Entry("yokeflow.cli.plan", "Show, validate or draw the plan."),
    "run": Entry("yokeflow.cli.run", "Do the plan: run, check and land everything unfinished."),
    "resume": Entry("yokeflow.cli.resume", "Go on with a run that was stopped or paused."),
    "status": Entry("yokeflow.cli.status", "What is done, what runs, what waits."),
    "log": Entry("yokeflow.cli.log", "What happened, event by event."),
    "show": Entry("yokeflow.cli.show", "All about one task or epic: attempts, checks, cost, transcript."),
    "attention": Entry("yokeflow.cli.attention", "What waits for you, and how to answer."),
    "retry": Entry("yokeflow.cli.retry", "Try a failed task or epic again."),
    "skip": Entry("yokeflow.cli.skip", "Leave a task out; what depends on it goes on."),
    "land": Entry("yokeflow.cli.land", "Try again to land an epic that was rejected or conflicted."),
    "undo": Entry("yokeflow.cli.undo", "Take landings back off the target, by new commits."),
    "pause": Entry("yokeflow.cli.pause", "Start no new tasks; running ones finish."),
    "cancel": Entry("yokeflow.cli.cancel", "Stop the run that is going on."),
    "worktree": Entry("yokeflow.cli.worktree", "List, clean or repair the worktrees."),
    "hooks": Entry("yokeflow.cli.hooks", "Put git hooks beside yours, or take them away again."),
    "db": Entry("yokeflow.cli.db", "Start, stop, migrate, back up, restore or rebuild the store."),
    "config": Entry("yokeflow.cli.config", "Show the effective settings or their JSON Schema."),
    "plugins": Entry("yokeflow.cli.plugins", "Which plugins are loaded, from where, with which hooks."),
}

#: Those that built-in plugins bring with `register_commands`, as any plugin does.
BUILT_IN: dict[str, Entry] = {
    "cost": Entry("yoke_costs", "What was spent, by model, epic, task, category or day, and what is left."),
    "models": Entry("yoke_models", "Which model does which work, why, and what that is worth."),
    "expertise": Entry("yoke_expertise", "What sessions taught, and how much it helps."),
}
