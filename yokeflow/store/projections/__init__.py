"""What each type of event does to the tables: one handler a type, by subject."""
