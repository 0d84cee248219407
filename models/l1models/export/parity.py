"""The parity set of a bundle: inputs with the trainer's scores, for whoever runs the graph elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models import layout

# |runtime - trainer| <= absolute + relative |trainer|. Scores come from sums of squares, so the relative error
# is that of float32 arithmetic in another order; the absolute part covers events with almost no error left.
RELATIVE, ABSOLUTE = 2e-5, 2e-6

# Largest difference on background events, relative to the score or to the score that this fraction of them exceeds,
# whichever is larger. Thresholds lie above it. Below, a reconstruction that is almost perfect is the difference of
# nearly equal numbers, and no float32 arithmetic knows a score of 1e-6 to more than three digits: trainer and graph
# are then equally far from the same sum in double precision.
AGREEMENT, DECISIVE_FRACTION = 1e-5, 0.01

_WIDTH = 3 * layout.OBJECTS


@dataclass(frozen=True)
class Agreement:
    """Largest difference of ``events`` scores: relative to the score, and as `AGREEMENT` bounds it."""

    events: int
    relative: float
    decisive: float


def agreement(graph: NDArray[np.float32], trainer: NDArray[np.float32]) -> Agreement:
    """Compare the scores (N,) of the same background events, N >= 100."""
    expected = trainer.astype(np.float64)
    difference = np.abs(graph.astype(np.float64) - expected)
    floor = np.quantile(expected, 1 - DECISIVE_FRACTION)
    return Agreement(
        len(expected),
        float(np.max(difference / np.maximum(expected, np.finfo(np.float32).tiny))),
        float(np.max(difference / np.maximum(expected, floor))),
    )


def inputs(background: NDArray[np.int16], seed: int = 0) -> NDArray[np.int16]:
    """Codes (n, 57), n >= 256 for 128 background events or more.

    Background, altered background, random words, extremes. Altered events (momenta scaled up, leptons from two
    events, objects in reversed slots) stand for signals.
    """
    rng = np.random.default_rng(seed)
    events = background.reshape(-1, 3, layout.OBJECTS)
    some = events[rng.permutation(len(events))[: len(events) // 4]]
    hard = some.copy()
    hard[:, 0] = np.minimum(some[:, 0].astype(np.int32) * 5, layout.PT_CODE_MAX)
    mixed = some.copy()
    leptons = slice(layout.ELECTRONS.start, layout.MUONS.stop)
    mixed[:, :, leptons] = some[::-1][:, :, leptons]
    parts = [events, hard, mixed, some[:, :, ::-1], random_words(rng, 64), extremes()]
    return np.concatenate(parts).reshape(-1, _WIDTH)


def random_words(rng: np.random.Generator, count: int) -> NDArray[np.int16]:
    """Legal events (count, 3, 19) with every code drawn at random; some objects are absent."""
    shape = (count, layout.OBJECTS)
    codes = np.stack(
        [
            rng.integers(1, layout.PT_CODE_MAX + 1, shape),
            rng.integers(-layout.ETA_CODE_MAX, layout.ETA_CODE_MAX + 1, shape),
            rng.integers(layout.PHI_CODE_MIN, layout.PHI_CODE_MAX + 1, shape),
        ],
        axis=1,
    )
    return (codes * (rng.random(shape) < 0.7)[:, None]).astype(np.int16)


def extremes() -> NDArray[np.int16]:
    """The empty event and the corners of the hardware grid, (n, 3, 19)."""
    corners = [
        (pt, eta, phi)
        for pt in (1, layout.PT_CODE_MAX)
        for eta in (-layout.ETA_CODE_MAX, 0, layout.ETA_CODE_MAX)
        for phi in (layout.PHI_CODE_MIN, 0, layout.PHI_CODE_MAX)
    ]
    full = [np.tile(np.array(corner)[:, None], (1, layout.OBJECTS)) for corner in corners]
    return np.stack([np.zeros((3, layout.OBJECTS)), *full]).astype(np.int16)


def to_json(codes: NDArray[np.int16], scores: NDArray[np.float32], allowed: dict[str, Any]) -> str:
    """The parity file: tolerance as of `tolerances`, inputs (57 integers each) and scores."""
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in codes.tolist())
    # The shortest decimal that reads back as the same float32.
    shown = ",".join(str(score) for score in scores.astype(np.float32))
    tolerance = json.dumps(allowed)
    return f'{{"tolerance":{tolerance},\n"inputs":[\n{rows}\n],\n"scores":[{shown}]}}\n'


def tolerances(relative: float = RELATIVE, absolute: float = ABSOLUTE) -> dict[str, Any]:
    """Tolerance as the parity file and the manifest state it."""
    return {"relative": relative, "absolute": absolute}
