"""Who asked for something, as events have it."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from yokeflow.engine.ledger.interventions import by_person

if TYPE_CHECKING:
    import pytest


def test_a_person_is_told_by_name_or_by_number_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert by_person() == "human:ada"

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert by_person() == f"human:{os.getuid()}"
