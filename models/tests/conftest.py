"""One small generated recording, made once: it costs half a minute of Pythia."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation import generate


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 background events with 30 of each signal, seed 5, and the chunks they came from."""
    out = tmp_path_factory.mktemp("mixed") / "mixed.h5"
    generate("--events", "400", "--signals", "30", "--seed", "5", "--workers", "2", "--out", str(out), "--keep-work")
    return out
