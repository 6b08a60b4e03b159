"""The plan file: reading, checking, writing and drawing it."""
