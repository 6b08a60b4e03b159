"""Composes the stages: what runs when, where, and what becomes of it."""
