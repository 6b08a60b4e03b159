"""The user's own folder: the embedded database, the user's configuration, logs of defects."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


def data_folder() -> Path:
    """`$YOKE_HOME`, or the platform's folder for user data. Not created here."""
    moved = os.environ.get("YOKE_HOME")
    return Path(moved).expanduser().absolute() if moved else user_data_path("yokeflow")
