"""YokeFlow: a backlog of dependent tasks, done by coding agents in parallel, proved, and landed."""

__version__ = "0.1.0"
