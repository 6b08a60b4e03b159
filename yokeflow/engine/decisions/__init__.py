"""What plugins decide, and what is lent to them for that."""
