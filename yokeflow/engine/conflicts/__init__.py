"""Conflicts of epics: foreseen, resolved beside the run, or left to a person."""
