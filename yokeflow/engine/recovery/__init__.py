"""What the start of a run puts right: what a crash left, and what people did on the target."""
