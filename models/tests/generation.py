"""Runs the `generate` verb as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).parents[1]


def generate(*arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `models/run generate` in this interpreter's environment; fails unless it ends with ``expected``."""
    done = subprocess.run(
        [sys.executable, "-m", "l1models", "generate", *arguments],
        env=os.environ | {"PYTHONPATH": str(MODELS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    return done
