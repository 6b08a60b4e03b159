"""What git knows and the store has to learn: commits of people, and the second copy."""
