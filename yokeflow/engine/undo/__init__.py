"""`yoke undo`: what is undone, and how."""
