"""What happened and what is planned, in PostgreSQL."""
