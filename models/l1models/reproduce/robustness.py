"""What a threshold set on the nominal detector does on a changed one, and in another mix of processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models import hdf5, layout
from l1models.generate.response import Response
from l1models.report import scoring, thresholds
from l1models.reproduce.steps import SIGNALS, Scale
from l1models.vary import response

RATES = (1e-4, 1e-5)
_SEED = 1
_MODELS = ("runs/ae-events-[sm]-seed1/bundle", "runs/nae-events-[sm]-seed1/bundle", "references/menu", "references/pca")

Objects = NDArray[np.float32]
Change = Callable[[Objects, Response, np.random.Generator], Objects]

# Changes of the detector, those of `models/run vary`; and the weights of processes in another mix.
VARIATIONS: dict[str, Change] = {
    "jets-up": lambda objects, r, _: response.scale_jets(objects, 1.05, r),
    "jets-down": lambda objects, r, _: response.scale_jets(objects, 0.95, r),
    "met-doubled": lambda objects, r, rng: response.smear_met(objects, 2, r, rng),
    "calorimeter-grid": lambda objects, _, __: response.coarsen(objects),
}
MIXES = {
    "mix-qcd-half": {"QCD": 0.5},
    "mix-qcd-double": {"QCD": 2.0},
    "mix-ttbar-half": {"ttbar": 0.5},
    "mix-ttbar-double": {"ttbar": 2.0},
}


@dataclass
class _Scored:
    """Per model the scores of a recording, and each event's process, named."""

    scores: dict[str, NDArray[np.float32]]
    process: NDArray[np.str_]


def measure(out: Path, scale: Scale) -> None:
    """Write ``robustness.json``: per model of seed 1 and variation rates, efficiencies and nominal thresholds.

    Thresholds are those of the nominal test recording; the changes are made to the same events.
    """
    path = out / "robustness.json"
    bundles = [scoring.load(folder) for pattern in _MODELS for folder in sorted(out.glob(pattern))]
    if path.exists() and set(json.loads(path.read_text())) == {bundle.name for bundle in bundles}:
        return
    background, signals = (_score(bundles, out / f"{name}.h5", None) for name in ("test", "signals"))
    chosen = {
        bundle.name: [thresholds.threshold_at(background.scores[bundle.name], rate) for rate in RATES]
        for bundle in bundles
    }
    found = {name: {"nominal": _row(name, at, background, signals, {})} for name, at in chosen.items()}
    for variation in scale.variations or VARIATIONS:
        print(f"robustness: {variation}", file=sys.stderr)
        changed = [_score(bundles, out / f"{name}.h5", VARIATIONS[variation]) for name in ("test", "signals")]
        for name, at in chosen.items():
            found[name][variation] = _row(name, at, changed[0], changed[1], {})
    for mix, weights in MIXES.items():
        for name, at in chosen.items():
            found[name][mix] = _row(name, at, background, signals, weights)
    path.write_text(json.dumps(found, indent=2) + "\n")


def _score(bundles: list[scoring.Bundle], path: Path, change: Change | None) -> _Scored:
    """Read a recording once, change its events if asked to, and score them with every bundle."""
    r, rng = Response(), np.random.default_rng(_SEED)
    scores: dict[str, list[NDArray[np.float32]]] = {bundle.name: [] for bundle in bundles}
    processes = []
    for block in hdf5.recordings(path):
        objects = change(block.particles, r, rng) if change else block.particles
        codes = layout.to_codes(objects).reshape(-1, 57)
        for bundle in bundles:
            scores[bundle.name].append(bundle.scores(codes))
        processes.append(np.array(block.process_names)[block.process])
    return _Scored({name: np.concatenate(parts) for name, parts in scores.items()}, np.concatenate(processes))


def _row(
    name: str, at: list[np.float32], background: _Scored, signals: _Scored, weights: dict[str, float]
) -> dict[str, Any]:
    worth = np.ones(len(background.process))
    for process, weight in weights.items():
        worth[background.process == process] = weight
    passing = [background.scores[name] >= threshold for threshold in at]
    own = {signal: signals.scores[name][signals.process == signal] for signal in SIGNALS}
    return {
        "rates": [float(worth[above].sum() / worth.sum()) for above in passing],
        "signals": {
            signal: [float(np.mean(scores >= threshold)) for threshold in at] for signal, scores in own.items()
        },
    }
