"""What a threshold set on the nominal detector does elsewhere: changed detector, changed mix, unfiltered crossings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from l1models import hdf5
from l1models.generate.zerobias import CROSSINGS_HZ
from l1models.report import metrics, scoring
from l1models.reproduce.steps import SIGNALS, VARIATIONS, Scale

_RATES = (1e-4, 1e-5)


def measure(out: Path, scale: Scale) -> None:
    """Write ``robustness.json``: rates and efficiencies per model of seed 1 and variation.

    Thresholds are those of the nominal test recording; ``zerobias`` has the fraction of crossings above them, and the
    efficiencies at thresholds that let the same fractions of crossings pass.
    """
    path = out / "robustness.json"
    if path.exists():
        return
    found = {}
    for folder in [*sorted((out / "runs").glob("*-events-*-seed1/bundle")), *sorted((out / "references").iterdir())]:
        if folder.name.startswith("classifier"):
            continue
        bundle = scoring.load(folder)
        found[bundle.name] = _of(bundle, out, scale)
    path.write_text(json.dumps(found, indent=2) + "\n")


def _of(bundle: scoring.Bundle, out: Path, scale: Scale) -> dict[str, Any]:
    nominal = scoring.score_recording(bundle, out / "test.h5", "background").scores
    signals = _by_process(bundle, out / "signals.h5")
    thresholds = [metrics.threshold_at(nominal, rate) for rate in _RATES]
    rows = {"nominal": {"rates": _above(nominal, thresholds), "signals": _all_above(signals, thresholds)}}
    for name in scale.variations:
        changes_signals = VARIATIONS[name][1]
        background = scoring.score_recording(bundle, out / f"test-{name}.h5", "background").scores
        changed = _by_process(bundle, out / f"signals-{name}.h5") if changes_signals else signals
        rows[name] = {"rates": _above(background, thresholds), "signals": _all_above(changed, thresholds)}
    if scale.zerobias:
        crossings = scoring.score_recording(bundle, out / "zerobias.h5", "background").scores
        own = [metrics.threshold_at(crossings, rate) for rate in _RATES]
        rows["zerobias"] = {
            "rates": _above(crossings, thresholds),
            "hertz": [rate * CROSSINGS_HZ for rate in _above(crossings, thresholds)],
            "signals": _all_above(signals, own),
        }
    return rows


def _by_process(bundle: scoring.Bundle, path: Path) -> dict[str, np.ndarray]:
    events, names = hdf5.read(path), hdf5.contents(path).process_names
    scores = bundle.scores(events.codes.reshape(-1, 57))
    return {name: scores[events.process == names.index(name)] for name in SIGNALS}


def _above(scores: np.ndarray, thresholds: list[np.float32]) -> list[float]:
    return [float(np.mean(scores >= threshold)) for threshold in thresholds]


def _all_above(signals: dict[str, np.ndarray], thresholds: list[np.float32]) -> dict[str, list[float]]:
    return {name: _above(scores, thresholds) for name, scores in signals.items()}
