"""Histograms and counts of a recording's processes, filled block by block in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l1models import hdf5, layout
from l1models.generate import zerobias
from l1models.generate.summary import pair_masses, transverse_mass

_LEPTONS = slice(layout.ELECTRONS.start, layout.MUONS.stop)
HARD_JET = 30.0  # GeV: the threshold of the published jet multiplicities
# Of generate/response.py and arXiv:2107.02157; float32 rounds at the edges.
FILTER_LEPTON_PT, JET_MIN_PT, LEPTON_MIN_PT = 23.0, 15.0, 3.0
MAX_ETA = {"electrons": 3.0, "muons": 2.1, "jets": 4.0}

Objects = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Quantity:
    """A distribution: values (any number per event) of objects (n, 19, 4), its bin edges and axis label."""

    label: str
    edges: Values
    of: Callable[[Objects], Values]


def _pt(objects: Objects, slots: slice) -> Values:
    return objects[:, slots, 0].astype(np.float64)


def _count(slots: slice, over: float = 0.0) -> Callable[[Objects], Values]:
    return lambda objects: (_pt(objects, slots) > over).sum(axis=1).astype(np.float64)


def _leading(slots: slice) -> Callable[[Objects], Values]:
    return lambda objects: _pt(objects, slots).max(axis=1)


_MULTIPLICITY = np.arange(-0.5, 11.5)
QUANTITIES: dict[str, Quantity] = {
    "electrons": Quantity("electrons", _MULTIPLICITY, _count(layout.ELECTRONS)),
    "muons": Quantity("muons", _MULTIPLICITY, _count(layout.MUONS)),
    "jets": Quantity("jets over 15 GeV", _MULTIPLICITY, _count(layout.JETS)),
    "hard_jets": Quantity("jets over 30 GeV", _MULTIPLICITY, _count(layout.JETS, HARD_JET)),
    "lepton_pt": Quantity("leading lepton pT [GeV]", np.linspace(0, 200, 101), _leading(_LEPTONS)),
    "jet_pt": Quantity("leading jet pT [GeV]", np.linspace(0, 400, 101), _leading(layout.JETS)),
    "met": Quantity("missing transverse momentum [GeV]", np.linspace(0, 200, 101), _leading(layout.MET)),
    "ht": Quantity("HT [GeV]", np.linspace(0, 1000, 101), lambda objects: _pt(objects, layout.JETS).sum(axis=1)),
    "mt": Quantity("transverse mass of lepton and MET [GeV]", np.linspace(0, 200, 201), transverse_mass),
    "pair_mass": Quantity("mass of the leading ee or mumu pair [GeV]", np.linspace(0, 200, 401), pair_masses),
}


@dataclass
class Distribution:
    """Counts (bins,) within the edges, the number of values, their sum and the sum of their squares."""

    counts: NDArray[np.int64]
    values: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of all values, those outside the edges included."""
        return self.total / self.values if self.values else float("nan")


@dataclass
class Process:
    """Distributions of one process and its number of events."""

    background: bool
    events: int = 0
    distributions: dict[str, Distribution] = field(default_factory=dict)


@dataclass
class Contents:
    """All processes of a recording, the objects that break a rule of the layout, and each event's fingerprint."""

    path: Path
    processes: dict[str, Process]
    faults: dict[str, int]
    fingerprints: NDArray[np.uint64]
    effective_events: float


def fill(path: Path) -> Contents:
    """Read a recording once."""
    described = hdf5.contents(path)
    processes = {
        name: Process(
            background, 0, {key: Distribution(np.zeros(len(q.edges) - 1, np.int64)) for key, q in QUANTITIES.items()}
        )
        for name, background in zip(described.process_names, described.background, strict=True)
    }
    # Crossings have passed no filter.
    filtered = described.process_names != (zerobias.NAME,)
    faults: dict[str, int] = {}
    prints, groups = [], []
    for block in hdf5.recordings(path):
        for rule, count in broken_rules(block.particles, filtered).items():
            faults[rule] = faults.get(rule, 0) + count
        prints.append(fingerprints(block.particles))
        groups.append(block.source_group)
        for label, process in enumerate(processes.values()):
            objects = block.particles[block.process == label]
            process.events += len(objects)
            for key, quantity in QUANTITIES.items():
                _add(process.distributions[key], quantity.of(objects), quantity.edges)
    sizes = np.unique(np.concatenate(groups), return_counts=True)[1].astype(np.float64)
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    return Contents(path, processes, faults, np.concatenate(prints), effective)


def _add(distribution: Distribution, values: Values, edges: Values) -> None:
    distribution.counts += np.histogram(values, edges)[0]
    distribution.values += len(values)
    distribution.total += float(values.sum())
    distribution.squares += float((values**2).sum())


def broken_rules(objects: Objects, filtered: bool) -> dict[str, int]:
    """How many objects break each rule of the layout and the acceptance, and how many events that of the filter."""
    pt, eta = objects[..., 0], np.abs(objects[..., 1])
    present = pt > 0
    groups = {"electrons": layout.ELECTRONS, "muons": layout.MUONS, "jets": layout.JETS}
    found = {
        "not finite": int((~np.isfinite(objects)).sum()),
        "negative pT": int((pt < 0).sum()),
        "class other than its slot's": int((present & (objects[..., 3] != layout.CLASS_OF_SLOT)).sum()),
        "phi beyond pi": int((np.abs(objects[..., 2]) > np.float32(np.pi)).sum()),
        "absent but not zero": int((~present[..., None] & (objects != 0))[:, 1:].any(axis=2).sum()),
    }
    for name, slots in groups.items():
        least = JET_MIN_PT if name == "jets" else LEPTON_MIN_PT
        found[f"{name} not by falling pT"] = int((np.diff(pt[:, slots], axis=1) > 0).sum())
        found[f"{name} out of acceptance"] = int(
            (present[:, slots] & ((eta[:, slots] > MAX_ETA[name] * 1.001) | (pt[:, slots] < least * 0.999))).sum()
        )
    if filtered:
        soft = pt[:, _LEPTONS].max(axis=1) < FILTER_LEPTON_PT * 0.999
        found["events without a lepton over 23 GeV"] = int(soft.sum())
    return found


def fingerprints(objects: Objects) -> NDArray[np.uint64]:
    """A 64-bit hash of each event's exact float32 values, (n,): two files share an event where they share a hash.

    A random linear form modulo 2^64: among 10^13 pairs of different events one coincides with a chance of 10^-6.
    """
    words = np.ascontiguousarray(objects[..., :3]).reshape(len(objects), -1).view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(0x5EED).integers(1 << 63, size=words.shape[1], dtype=np.uint64) * np.uint64(2) + 1
    folded: NDArray[np.uint64] = (words * factors.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
    return folded


def peak(distribution: Distribution, edges: Values, half_width: float = 4.0) -> float:
    """Centre of the fullest place of a distribution: the mean of the bins within ``half_width`` of the maximum."""
    centres = (edges[1:] + edges[:-1]) / 2
    smooth = np.convolve(distribution.counts, np.ones(9), "same")
    near = np.abs(centres - centres[np.argmax(smooth)]) < half_width
    weight = distribution.counts[near].sum()
    return float((centres[near] * distribution.counts[near]).sum() / weight) if weight else float("nan")
