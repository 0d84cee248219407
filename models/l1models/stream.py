"""The stream processor of this repository, `nae-trigger`: what decides events also makes every published figure."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from l1models.errors import InputRefused

_MAIN = Path(__file__).parents[2] / "dist" / "cli" / "main.js"


def command(*words: str) -> list[str]:
    """The command line of a verb of `nae-trigger`; refused where it is not built."""
    node = shutil.which("node")
    if node is None or not _MAIN.exists():
        raise InputRefused(f"{_MAIN}: expected the built stream processor (npm ci && npm run build), received none")
    return [node, str(_MAIN), *words]


def evaluate(bundles: Sequence[Path], background: Path, signals: Mapping[str, Path]) -> list[dict[str, Any]]:
    """What `nae-trigger evaluate --json` says of each bundle, in order; ``signals``: recordings by name."""
    words = ["evaluate", "--background", str(background)]
    words += [word for bundle in bundles for word in ("--model", str(bundle))]
    words += [word for name, path in signals.items() for word in ("--signal", f"{name}={path}")]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "evaluation.json"
        ran = subprocess.run(command(*words, "--json", str(result)), stdout=subprocess.DEVNULL, check=False)
        if ran.returncode:
            raise InputRefused(f"nae-trigger evaluate: expected exit code 0, received {ran.returncode}")
        first = json.loads(result.read_text())
    return [first, *first["further_models"]]
