"""The worktrees that tasks run in, and what no session may change beside them."""
