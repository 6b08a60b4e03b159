"""The way of finished epics onto the target."""
