"""Which task starts next. Nothing here knows of processes or of git."""
