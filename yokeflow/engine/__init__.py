"""Composes the stages: what runs when, where, and what becomes of it.

A run begins in `run`, and its course is in `workflow`. What they are made of, each built on some of those
above it and on none below:

    secrets     Secrets, and what only looks like one.
    processes   Processes of agents and checks: started, read, ended with all they started.
    decisions   What plugins decide, and what is lent to them for that.
    scheduling  Which task starts next. Nothing here knows of processes or of git.
    lanes       The worktrees that tasks run in, and what no session may change beside them.
    sessions    One session of one agent: asked, run, paid for, checked.
    landing     The way of finished epics onto the target.
    ledger      What a run knows about its items, and what people are asked about them.
    facts       What git knows and the store has to learn: commits of people, and the second copy.
    conflicts   Conflicts of epics: foreseen, resolved beside the run, or left to a person.
    people      What people answer and ask for, and what they are told.
    reports     The state of a project, by whoever can tell.
    recovery    What the start of a run puts right: what a crash left, and what people did on the target.
    undo        `yoke undo`: what is undone, and how.
"""
