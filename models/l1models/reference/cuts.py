"""The cuts a trigger has anyway, as scores, and a menu of them.

Each quantity is a number of pT codes, whole and below 2^24, so graph and numpy agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.export.graph import Graph
from l1models.reference.reference import Codes

_WIDTH = 3 * layout.OBJECTS
_ELECTRON, _MUON, _JET = layout.ELECTRONS.start, layout.MUONS.start, layout.JETS.start


def _sum_of(slots: slice) -> NDArray[np.float64]:
    column = np.zeros(_WIDTH)
    column[slots] = 1
    return column


def _slot(number: int) -> NDArray[np.float64]:
    return _sum_of(slice(number, number + 1))


def _momenta(codes: Codes) -> NDArray[np.float64]:
    return codes[:, : layout.OBJECTS].astype(np.float64)


@dataclass(frozen=True)
class Momentum:
    """HT or MET: a sum of transverse momenta, in GeV."""

    name: str
    slots: slice
    meaning: str
    parameters: int = 0

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """GeV."""
        return (_momenta(codes)[:, self.slots].sum(axis=1) * layout.PT_LSB).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """One matrix product."""
        return graph.weighted_sum(graph.add("Cast", graph.codes(), to=1), _sum_of(self.slots) * layout.PT_LSB)

    def describe(self) -> dict[str, Any]:
        """The cut."""
        return {"type": "cut", "quantity": self.name, "description": f"A cut on {self.name}"}


@dataclass(frozen=True)
class LeptonPt:
    """Transverse momentum of the leading electron or muon, in GeV."""

    meaning: str = "transverse momentum of the leading electron or muon, GeV"
    parameters: int = 0

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """GeV."""
        pt = _momenta(codes)
        return (np.maximum(pt[:, _ELECTRON], pt[:, _MUON]) * layout.PT_LSB).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """The larger of two rows."""
        values = graph.add("Cast", graph.codes(), to=1)
        leading = graph.add("Max", graph.row(values, _ELECTRON), graph.row(values, _MUON))
        return graph.add("Mul", leading, graph.constant(layout.PT_LSB))

    def describe(self) -> dict[str, Any]:
        """The cut."""
        return {"type": "cut", "quantity": "leading lepton pT", "description": "A cut on the leading lepton's pT"}


@dataclass(frozen=True)
class ObjectCount:
    """Electrons, muons and jets in the event."""

    meaning: str = "number of electrons, muons and jets"
    parameters: int = 0

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """A whole number."""
        return (codes[:, _ELECTRON : layout.OBJECTS] > 0).sum(axis=1).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """Each pT code clipped to 1, and summed."""
        values = graph.add("Cast", graph.codes(), to=1)
        present = graph.add("Clip", values, graph.constant(0.0), graph.constant(1.0))
        return graph.weighted_sum(present, _sum_of(slice(_ELECTRON, layout.OBJECTS)))

    def describe(self) -> dict[str, Any]:
        """The cut."""
        return {"type": "cut", "quantity": "objects", "description": "A cut on the number of objects"}


# Seeds of the menu: sums of pT codes; the electron-muon seed is the smaller of its two legs.
SUMS: dict[str, NDArray[np.float64]] = {
    "single electron": _slot(_ELECTRON),
    "double electron": _slot(_ELECTRON + 1),
    "triple electron": _slot(_ELECTRON + 2),
    "single muon": _slot(_MUON),
    "double muon": _slot(_MUON + 1),
    "triple muon": _slot(_MUON + 2),
    "single jet": _slot(_JET),
    "double jet": _slot(_JET + 1),
    "quad jet": _slot(_JET + 3),
    "HT": _sum_of(layout.JETS),
    "MET": _slot(0),
}
SEEDS = (*SUMS, "electron-muon")
# Fractions of the background at which a seed's threshold is tabulated; fewer where fewer events would be left.
_FRACTIONS = tuple(f * 10.0**-e for e in range(7) for f in ((1.0, 0.5, 0.2) if e else (0.5, 0.2)))
_FEWEST_PASSING = 10


@dataclass(frozen=True)
class Menu:
    """An OR of single cuts whose thresholds all move together, each seed at the same rate.

    The score is the largest, over the seeds, of -log10 of the fraction of background that passes the seed at the
    event's value: interpolated between tabulated thresholds, and beyond the last with its slope. A threshold on the
    score is a menu; a trigger's total rate fixes it. ``knots`` and ``changes`` (seeds, points): thresholds in pT
    codes and the changes of slope there.
    """

    knots: NDArray[np.float64]
    changes: NDArray[np.float64]
    meaning: str = "-log10 of the background fraction passing the event's most selective seed, no unit"

    @property
    def parameters(self) -> int:
        """Knots and slopes."""
        return int(np.count_nonzero(self.changes)) * 2

    @classmethod
    def fit(cls, background: Codes) -> Menu:
        """Tabulate the seeds' thresholds on background codes (N, 57)."""
        values = _values(background)
        curves = [_curve(np.sort(values[:, seed])) for seed in range(len(SEEDS))]
        width = max(len(knots) for knots, _ in curves)
        knots, changes = np.zeros((2, len(SEEDS), width))
        for seed, (at, change) in enumerate(curves):
            knots[seed, : len(at)], changes[seed, : len(at)] = at, change
        # What the graph holds.
        return cls(knots.astype(np.float32).astype(np.float64), changes.astype(np.float32).astype(np.float64))

    def thresholds(self, score: float) -> dict[str, float]:
        """Each seed's threshold in GeV at a threshold on the score."""
        found = {}
        for name, knots, changes in zip(SEEDS, self.knots, self.changes, strict=True):
            grid = np.arange(layout.OBJECTS * layout.PT_CODE_MAX, dtype=np.float64)
            curve = np.maximum(grid[:, None] - knots, 0) @ changes
            found[name] = float(np.searchsorted(curve, score) * layout.PT_LSB)
        return found

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """The largest of the seeds' values."""
        values = _values(codes)
        each = [np.maximum(values[:, [s]] - self.knots[s], 0) @ self.changes[s] for s in range(len(SEEDS))]
        return np.max(each, axis=0).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """Seeds' values, their piecewise linear curves, and the largest."""
        seeds, points = self.knots.shape
        values = graph.add("Cast", graph.codes(), to=1)
        sums = graph.linear(values, np.stack(list(SUMS.values()), axis=1))
        both = graph.add("Min", graph.row(values, _ELECTRON), graph.row(values, _MUON))
        each = graph.add("Concat", sums, both, axis=0)
        spread = np.kron(np.eye(seeds), np.ones((1, points)))
        above = graph.add("Relu", graph.linear(each, spread, -self.knots.reshape(-1)))
        curves = graph.linear(above, spread.T * self.changes.reshape(-1, 1))
        return graph.add("ReduceMax", curves, graph.constant([0], np.int64), keepdims=1)

    def describe(self) -> dict[str, Any]:
        """The seeds."""
        return {"type": "menu", "seeds": list(SEEDS), "description": f"A menu of {len(SEEDS)} cuts at equal rates"}


def _values(codes: Codes) -> NDArray[np.float64]:
    """Values of the seeds in pT codes, (N, seeds)."""
    momenta = codes.astype(np.float64)
    sums = momenta @ np.stack(list(SUMS.values()), axis=1)
    return np.column_stack([sums, np.minimum(momenta[:, _ELECTRON], momenta[:, _MUON])])


def _curve(ascending: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots and changes of slope of -log10(fraction of events at or over a value)."""
    count = len(ascending)
    at, height = [0.0], [0.0]
    for fraction in _FRACTIONS:
        passing = int(fraction * count)
        if passing < _FEWEST_PASSING:
            break
        value = float(ascending[count - passing])
        if value > at[-1]:
            at.append(value)
            height.append(-np.log10((count - np.searchsorted(ascending, value)) / count))
    if len(at) == 1:
        # A seed that hardly ever has a value: any value at all is as rare as can be told.
        at.append(1.0)
        height.append(-np.log10(max(int((ascending > 0).sum()), 1) / count))
    slopes = np.diff(height) / np.diff(at)
    return np.array(at[:-1]), np.diff(slopes, prepend=0.0)
