"""The state of a project, by whoever can tell."""
