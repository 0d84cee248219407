"""Each object in Gaussian coordinates of its own, so that a flow only has to learn how objects go together.

An electron, muon or jet at pT and angle phi to MET becomes a point of a plane at radius sqrt(2 E(pT)) and that angle,
with E = -log of the fraction of such objects above pT: two Gaussian coordinates if angle and pT were independent, and
no seam at +-pi. eta goes through its distribution function to a Gaussian coordinate, MET likewise. Beyond the last
events E goes on as the logarithm of pT (a power law), a coordinate with its last slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from l1models import layout
from l1models.reference.reference import Codes
from l1models.train.representation import PT_SCALE

PT_CODES = layout.PT_CODE_MAX + 1
ETA_CODES = 2 * (layout.ETA_CODE_MAX + 1)
# Fractions of a slot's objects between which a distribution function is interpolated.
_FRACTIONS = np.array([0.002, 0.01, 0.03, *np.arange(0.07, 0.94, 0.06), 0.96, 0.98, 0.99])
_TAIL = np.array([f * 10.0**-e for e in range(3, 7) for f in (5, 2, 1)])
_FEWEST_BEYOND = 10
# A slot with fewer objects borrows those of the slots before it in its class.
_FEWEST_OBJECTS = 2000
# Outside the range of the data -log p rises by this much per natural logarithm of pT.
_FALL = 20.0
_CLASSES = (layout.ELECTRONS, layout.MUONS, layout.JETS)


@dataclass(frozen=True)
class Marginals:
    """Tables over the codes of the hardware grid.

    ``level`` (19, 4096): E of a pT code, for MET its Gaussian coordinate; ``eta`` (19, 1024): Gaussian coordinate of
    an eta code + 512. ``pt_gain``, ``eta_gain``: logarithms of the derivatives with respect to
    h = log(1 + pT / 10 GeV) and eta; 0 at pT code 0, but for MET, which is always there.
    """

    level: NDArray[np.float64]
    pt_gain: NDArray[np.float64]
    eta: NDArray[np.float64]
    eta_gain: NDArray[np.float64]

    @classmethod
    def fit(cls, background: Codes) -> Marginals:
        """Of the objects of background codes (N, 57)."""
        pt, eta, _ = background.reshape(-1, 3, layout.OBJECTS).transpose(1, 0, 2)
        level, pt_gain = np.zeros((2, layout.OBJECTS, PT_CODES))
        eta_table, eta_gain = np.zeros((2, layout.OBJECTS, ETA_CODES))
        edges = _levels(pt[:, 0])
        coordinate = norm.isf(np.exp(-np.maximum(edges, 1e-12)))
        # The first edge with events above and below it; the one before is open towards minus infinity.
        first = int(np.argmax(edges > 0))
        coordinate[:first] = 2 * coordinate[first] - coordinate[first + 1]
        level[0] = (coordinate[1:] + coordinate[:-1]) / 2
        pt_gain[0] = _log_steps(coordinate) - _hardness_steps()
        for part in _CLASSES:
            for slot in range(part.start, part.stop):
                first = slot
                while first > part.start and np.count_nonzero(pt[:, first : slot + 1]) < _FEWEST_OBJECTS:
                    first -= 1
                there = pt[:, first : slot + 1] > 0
                edges = _levels(pt[:, first : slot + 1][there])
                level[slot] = (edges[1:] + edges[:-1]) / 2
                pt_gain[slot] = _log_steps(edges) - _hardness_steps()
                level[slot, 0] = pt_gain[slot, 0] = 0
                gaussian = _gaussian(eta[:, first : slot + 1][there])
                eta_table[slot] = (gaussian[1:] + gaussian[:-1]) / 2
                eta_gain[slot] = np.log(np.diff(gaussian)) - np.log(layout.ETA_LSB)
        return cls(level, pt_gain, eta_table, eta_gain)


def _levels(codes: Codes) -> NDArray[np.float64]:
    """-log of the fraction of objects above each edge between pT codes, from -1/2 to 4095 1/2."""
    ascending = np.sort(codes)
    count = max(len(ascending), 1)
    fractions = np.concatenate([1 - _FRACTIONS, _TAIL])
    kept = [f for f in fractions if f * count >= _FEWEST_BEYOND]
    at = [float(ascending[0]) - 0.5 if len(ascending) else -0.5]
    level = [0.0]
    for fraction in kept:
        edge = float(ascending[count - 1 - int(fraction * count)]) + 0.5
        if edge > at[-1]:
            at.append(edge)
            level.append(-np.log(np.mean(ascending > edge)))
    if len(at) < 3:
        at, level = [at[0], at[0] + 20, at[0] + 40], [0.0, 1.0, 2.0]
    edges = np.arange(PT_CODES + 1) - 0.5
    log = np.log(np.maximum(edges, 0.25))
    knots = np.log(np.maximum(at, 0.25))
    inside = PchipInterpolator(knots, level)(np.clip(log, knots[0], knots[-1]))
    slope = (level[-1] - level[-2]) / (knots[-1] - knots[-2])
    return inside + slope * np.maximum(log - knots[-1], 0)


def _log_steps(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the steps between edges; below the lowest object, where there is none, it falls steeply."""
    steps = np.diff(edges)
    lowest = int(np.argmax(steps > 0))
    codes = np.arange(len(steps))
    below = np.log(np.maximum(codes, 0.5)) - np.log(max(lowest, 0.5))
    found = np.log(np.maximum(steps, 1e-30))
    return np.where(codes < lowest, found[lowest] + _FALL * below, found).astype(np.float64)


def _hardness_steps() -> NDArray[np.float64]:
    """Logarithm of dh per pT code, (4096,)."""
    return np.log(layout.PT_LSB / (PT_SCALE + layout.PT_LSB * np.arange(PT_CODES)))


def _gaussian(codes: Codes) -> NDArray[np.float64]:
    """Gaussian coordinate of each edge between eta codes, from -512 1/2 to 511 1/2; even in eta."""
    ascending = np.sort(np.concatenate([codes, -codes]))
    count = len(ascending)
    edges = np.arange(ETA_CODES + 1) - ETA_CODES / 2 - 0.5
    if count < _FEWEST_OBJECTS:
        return (edges * layout.ETA_LSB).astype(np.float64)
    fractions = np.concatenate([_TAIL[_TAIL * count >= _FEWEST_BEYOND][::-1], _FRACTIONS[_FRACTIONS < 0.5]])
    at, value = [0.0], [0.0]
    for fraction in fractions[::-1]:
        edge = float(ascending[count - 1 - int(fraction * count)]) + 0.5
        beyond = np.mean(ascending > edge)
        if edge > at[-1] and beyond > 0:
            at.append(edge)
            value.append(float(norm.isf(beyond)))
    size = np.abs(edges)
    inside = PchipInterpolator(at, value)(np.minimum(size, at[-1]))
    slope = (value[-1] - value[-2]) / (at[-1] - at[-2])
    return np.sign(edges) * (inside + slope * np.maximum(size - at[-1], 0))
