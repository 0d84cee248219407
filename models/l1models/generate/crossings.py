"""Bunch crossings: a Poisson number of interactions drawn from the banks, turned at random and measured together.

Each interaction is clustered by itself: jets are those of one vertex, and what the others add under a jet is part of
the resolution (`Response.jet_noise`), as where pile-up is parametrised. MET is minus the visible sum of the hard
interactions, moved by what jets were mismeasured, with `Response.met_per_pile_up` for every interaction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1models.generate import detector
from l1models.generate.batch import sums, wrap_phi
from l1models.generate.detector import Soft, Table
from l1models.generate.interactions import PILE_UP, Bank, objects_of
from l1models.generate.response import Response

BLOCK = 20_000  # crossings at a time


@dataclass(frozen=True)
class Crossings:
    """Objects float32 (n, 19, 4); group int64 (n,), equal where the hardest interaction is the same one;
    ``draws`` (strata,): interactions used of each bank."""

    objects: NDArray[np.float32]
    group: NDArray[np.int64]
    draws: NDArray[np.int64]


def overlay(banks: list[Bank], count: int, r: Response, rng: np.random.Generator) -> Crossings:
    """``count`` crossings. ``banks``: the soft one first, then by rising hardness.

    Soft interactions are drawn with replacement; of every other bank each is used once before any is used twice.
    """
    shares = np.array([bank.kept_pb for bank in banks])
    shares /= shares.sum()
    used = np.zeros(len(banks), dtype=np.int64)
    first_group = np.cumsum([0, *(len(bank) for bank in banks[1:])])
    objects, groups = [], []
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        mean = rng.uniform(*PILE_UP, size)
        # Crossings without a hard interaction are independent but for their soft ones.
        group = first_group[-1] + start + np.arange(size, dtype=np.int64)
        seen = np.zeros((2, size))
        interactions = np.zeros(size)
        jets: list[Table] = []
        leptons: list[Table] = []
        for place, (bank, share) in enumerate(zip(banks, shares, strict=True)):
            number = rng.poisson(mean * share)
            interactions += number
            event = np.repeat(np.arange(size), number)
            if place == 0:
                entries = rng.integers(len(bank), size=len(event))
            else:
                entries = (used[place] + np.arange(len(event))) % len(bank)
                group[event] = first_group[place - 1] + entries
            used[place] += len(event)
            turn, mirror = 2 * np.pi * rng.random(len(event)), rng.choice([-1.0, 1.0], len(event))
            if place > 0:
                cos, sin = np.cos(turn), np.sin(turn)
                seen[0] += sums(event, cos * bank.px[entries] - sin * bank.py[entries], size)
                seen[1] += sums(event, sin * bank.px[entries] + cos * bank.py[entries], size)
            for offsets, rows, tables in (
                (bank.jet_offsets, bank.jets, jets),
                (bank.lepton_offsets, bank.leptons, leptons),
            ):
                owner, row = objects_of(offsets, rows, entries)
                muon = row[:, 3] > 0 if row.shape[1] > 3 else np.zeros(len(row), dtype=bool)
                phi = wrap_phi(row[:, 2] + turn[owner])
                none = np.full(len(row), -1)
                tables.append(Table(event[owner], row[:, 0], row[:, 1] * mirror[owner], phi, muon, none))
        objects.append(_measure(_together(jets), _together(leptons), seen, interactions, r, rng))
        groups.append(group)
    return Crossings(np.concatenate(objects), np.concatenate(groups), used)


def _together(tables: list[Table]) -> Table:
    whole = tables[0]
    for table in tables[1:]:
        whole = whole.joined(table)
    order = np.argsort(whole.event, kind="stable")
    return whole[order]


def _measure(
    true: Table,
    leptons: Table,
    seen: NDArray[np.float64],
    interactions: NDArray[np.float64],
    r: Response,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    n = len(interactions)
    measured = detector.measured_jets(true, Soft(underlying=False, hadronisation=False), r, rng)
    hard = measured.pt > r.jet_min_pt
    components = []
    for total, function in zip(seen, (np.cos, np.sin), strict=True):
        moved = measured.pt * function(measured.phi) - true.pt * function(true.phi)
        noise = r.met_per_pile_up * np.sqrt(interactions) * rng.normal(size=n)
        components.append(noise - total - sums(true.event[hard], moved[hard], n))
    met = np.hypot(*components), np.arctan2(components[1], components[0])
    chance = detector.misidentification(measured, r).sum(axis=1)
    taken = np.flatnonzero(rng.random(len(chance)) < chance)
    leptons = leptons.joined(detector.misidentified(measured, taken, r, rng))
    leptons = leptons[leptons.pt > r.lepton_min_pt]
    others = np.ones(len(measured.pt), dtype=bool)
    others[taken] = False
    jet = measured[others & (measured.pt > r.jet_min_pt) & (np.abs(measured.eta) < r.jet_max_eta)]
    jet = jet[detector.remove_overlap(jet, leptons[~leptons.muon], r)]
    return detector.assemble(n, met, leptons, jet)
