"""What calibrated thresholds mean in Hz: how many unfiltered crossings pass them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from l1models.generate.zerobias import CROSSINGS_HZ
from l1models.report import scoring, thresholds

_MODELS = ("runs/ae-events-[sm]-seed1/bundle", "runs/nae-events-[sm]-seed1/bundle", "references/menu")


def measure(out: Path) -> None:
    """Write ``zerobias.json``: of every calibrated bundle, crossings that pass its thresholds and their rate in Hz.

    Intervals (95 %) count the crossings that pass at what they are worth: those that share an interaction of the bank
    are one cluster.
    """
    path = out / "zerobias.json"
    folders = [folder for pattern in _MODELS for folder in sorted(out.glob(pattern))]
    folders = [folder for folder in folders if (folder / "calibration.json").exists()]
    if path.exists() and len(json.loads(path.read_text())["models"]) == len(folders):
        return
    found: dict[str, Any] = {"crossings_hz": CROSSINGS_HZ, "models": {}}
    for folder in folders:
        bundle = scoring.load(folder)
        scored = scoring.score_recording(bundle, out / "zerobias.h5", "background")
        worth = thresholds.effective_events(scored.source_group)
        found |= {"events": len(scored.scores), "effective_events": worth}
        rows = []
        for one in json.loads((folder / "calibration.json").read_text())["calibrations"]:
            above = scored.scores >= np.float32(one["threshold"])
            passing = int(np.sum(above))
            # What passes shares more than what does not: hard interactions are used again and again.
            groups = thresholds.effective_events(scored.source_group[above]) if passing else 0.0
            low, high = thresholds.rate_interval(groups, len(scored.scores) * groups / passing if passing else worth)
            rows.append(
                {
                    "target_rate": one["target_rate"],
                    "threshold": one["threshold"],
                    "passing": passing,
                    "independent": groups,
                    "hertz": CROSSINGS_HZ * passing / len(scored.scores),
                    "low": CROSSINGS_HZ * low,
                    "high": CROSSINGS_HZ * high,
                }
            )
        found["models"][bundle.name] = rows
    path.write_text(json.dumps(found, indent=2) + "\n")
