"""Many events' stable particles in flat arrays, so that no step loops over particles in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEUTRINOS = (12, 14, 16)


@dataclass(frozen=True)
class Batch:
    """Stable particles of N events, event by event.

    ``offsets`` (N+1,): event i owns particles offsets[i]..offsets[i+1]. ``pdg``: PDG codes. ``px, py, pz, e``
    in GeV. ``group`` int64 (N,): the generated parton event each one comes from.
    """

    offsets: NDArray[np.int64]
    pdg: NDArray[np.int32]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    e: NDArray[np.float64]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def event(self) -> NDArray[np.int64]:
        """Event index of every particle."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def pt(self) -> NDArray[np.float64]:
        """Transverse momenta in GeV."""
        return np.hypot(self.px, self.py)

    @cached_property
    def eta(self) -> NDArray[np.float64]:
        """Pseudorapidities."""
        # The floor keeps a particle along the beam finite, at |eta| about 20 and beyond every acceptance.
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-6))

    @cached_property
    def phi(self) -> NDArray[np.float64]:
        """Azimuths in radians, [-pi, pi]."""
        return np.arctan2(self.py, self.px)

    def particles(self, keep: NDArray[np.bool_]) -> Batch:
        """The same events with only the particles marked in ``keep``."""
        counts = np.bincount(self.event[keep], minlength=len(self))
        return Batch(
            offsets_of(counts),
            self.pdg[keep],
            self.px[keep],
            self.py[keep],
            self.pz[keep],
            self.e[keep],
            self.group,
        )

    def events(self, keep: NDArray[np.bool_]) -> Batch:
        """Only the events marked in ``keep``, in order."""
        inside = keep[self.event]
        counts = np.diff(self.offsets)[keep]
        return Batch(
            offsets_of(counts),
            self.pdg[inside],
            self.px[inside],
            self.py[inside],
            self.pz[inside],
            self.e[inside],
            self.group[keep],
        )

    def repeated(self, copies: int) -> Batch:
        """All events ``copies`` times over; the copies of an event share its group."""
        if copies == 1:
            return self
        return Batch(
            offsets_of(np.tile(np.diff(self.offsets), copies)),
            np.tile(self.pdg, copies),
            np.tile(self.px, copies),
            np.tile(self.py, copies),
            np.tile(self.pz, copies),
            np.tile(self.e, copies),
            np.tile(self.group, copies),
        )


def offsets_of(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Offsets (N+1,) of consecutive runs of the given lengths."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def ragged_indices(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The concatenation of ``arange(start, start + count)`` over all runs."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def sums(index: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """The sum of ``values`` per index, (count,)."""
    # bincount counts in integers where there is nothing to add.
    return np.bincount(index, values, count).astype(np.float64)


def wrap_phi(phi: NDArray[np.float64]) -> NDArray[np.float64]:
    """Azimuths folded into [-pi, pi)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi
