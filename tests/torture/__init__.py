"""Torture: random rounds of work, misbehaviour and crashes, and a checker that trusts nothing of ours."""
