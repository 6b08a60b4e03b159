"""One session of one agent: asked, run, paid for, checked."""
