"""What people answer and ask for, and what they are told."""
