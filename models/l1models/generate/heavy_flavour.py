"""Leptons of heavy-flavour jets: each hadron's decay drawn many times, instead of many more jets.

A lepton over the filter's threshold that carries most of its b or c jet is rare, and the jet is the costly part.
So the hadrons with heavy quarks stay stable in Pythia; the decay of each hard one is drawn many times from a bank
of decays, the other hadrons of the event decay once per copy. Every hadron has the same number of draws, so the
copies stay unweighted, and those of one event share its source group. At most MAX_COPIES of a group are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models.generate.batch import Batch, offsets_of, ragged_indices, sums
from l1models.generate.decays import Bank, boosted, decay
from l1models.generate.detector import ELECTRON, MUON, delta_r
from l1models.generate.reconstruct import PRESELECTION
from l1models.generate.response import Response

MAX_COPIES = 4
# Hadrons whose weak decays are drawn; rarer ones decay as the one they are most like.
SPECIES = (511, 521, 531, 5122, 411, 421, 431, 4122)
ALIKE = {541: 521, 5132: 5122, 5232: 5122, 5332: 5122, 4132: 4122, 4232: 4122, 4332: 4122}
STABLE = tuple(f"{pdg}:mayDecay = off" for pdg in (*SPECIES, *ALIKE))
MAX_ETA = 3.5  # of a hadron that could give a lepton within acceptance


def species(pdg: NDArray[np.int32]) -> NDArray[np.int64]:
    """Index into SPECIES of each particle, -1 for others."""
    code = np.abs(pdg)
    for rare, alike in ALIKE.items():
        code = np.where(code == rare, alike, code)
    place = np.full(len(code), -1)
    for index, known in enumerate(SPECIES):
        place[code == known] = index
    return place


def copies(batch: Batch, banks: Mapping[int, Bank], draws: int, r: Response, rng: np.random.Generator) -> Batch:
    """One event per drawn decay that may give the filter's lepton; ``group`` says which share their jets.

    ``draws``: decays drawn for each hard hadron, leptonic or not.
    """
    batch = batch.events(_has_hard_hadron(batch, r))
    kind = species(batch.pdg)
    copied = [
        _decayed(batch, np.flatnonzero(_hard(batch, r) & (kind == index)), banks[known], draws, r, rng)
        for index, known in enumerate(SPECIES)
    ]
    events = _joined(copied)
    kind = species(events.pdg)
    for index, known in enumerate(SPECIES):
        mothers = np.flatnonzero(kind == index)
        if len(mothers):
            entries = rng.integers(len(banks[known]), size=len(mothers))
            events = decay(events, mothers, entries, banks[known], np.zeros(len(mothers)), rng)
            kind = species(events.pdg)
    return events


def _hard(batch: Batch, r: Response) -> NDArray[np.bool_]:
    hard = batch.pt > PRESELECTION * r.filter_lepton_pt
    return hard & (np.abs(batch.eta) < MAX_ETA) & (species(batch.pdg) >= 0)


def _has_hard_hadron(batch: Batch, r: Response) -> NDArray[np.bool_]:
    return sums(batch.event, _hard(batch, r), len(batch)) > 0


def _decayed(
    batch: Batch, mothers: NDArray[np.int64], bank: Bank, draws: int, r: Response, rng: np.random.Generator
) -> Batch:
    """The events of ``mothers``, once per draw (of ``draws``) that gives a hard enough and isolated enough lepton."""
    leptonic = np.flatnonzero(bank.leptonic)
    mother = np.repeat(mothers, rng.binomial(draws, bank.leptonic_fraction, len(mothers)))
    entries = rng.choice(leptonic, len(mother))
    counts = np.diff(bank.offsets)[entries]
    rows = ragged_indices(bank.offsets[entries], counts)
    p4 = np.stack([batch.px[mother], batch.py[mother], batch.pz[mother], batch.e[mother]], axis=1)
    p = boosted(p4, bank.momentum[rows], counts, np.zeros(len(mother)), rng)
    pdg = bank.pdg[rows]
    good = _isolated_draws(p, pdg, counts, r)
    row_good = np.repeat(good, counts)
    p, pdg, counts, mother = p[row_good], pdg[row_good], counts[good], mother[good]

    source = batch.event[mother]
    old_counts = np.diff(batch.offsets)[source]
    old = ragged_indices(batch.offsets[source], old_counts)
    owner = np.repeat(np.arange(len(source)), old_counts)
    stays = old != mother[owner]
    old, owner = old[stays], owner[stays]
    event = np.concatenate([owner, np.repeat(np.arange(len(source)), counts)])
    order = np.argsort(event, kind="stable")
    return Batch(
        offsets_of(np.bincount(event, minlength=len(source))),
        np.concatenate([batch.pdg[old], pdg])[order],
        np.concatenate([batch.px[old], p[:, 0]])[order],
        np.concatenate([batch.py[old], p[:, 1]])[order],
        np.concatenate([batch.pz[old], p[:, 2]])[order],
        np.concatenate([batch.e[old], p[:, 3]])[order],
        batch.group[source],
    )


def _isolated_draws(
    p: NDArray[Any], pdg: NDArray[np.int32], counts: NDArray[np.int64], r: Response
) -> NDArray[np.bool_]:
    """Draws whose hardest lepton is over the preselection and not spoiled by its own decay's other products."""
    draw = np.repeat(np.arange(len(counts)), counts)
    pt = np.hypot(p[:, 0], p[:, 1])
    lepton_pt = np.where(np.isin(np.abs(pdg), (ELECTRON, MUON)), pt, 0.0)
    hardest = np.zeros(len(counts))
    np.maximum.at(hardest, draw, lepton_pt)
    is_hardest = (lepton_pt > 0) & (lepton_pt == hardest[draw])
    eta, phi = np.arcsinh(p[:, 2] / np.maximum(pt, 1e-6)), np.arctan2(p[:, 1], p[:, 0])
    lepton_eta = sums(draw, eta * is_hardest, len(counts))
    lepton_phi = sums(draw, phi * is_hardest, len(counts))
    near = delta_r(eta, phi, lepton_eta[draw], lepton_phi[draw]) < r.isolation_cone
    counted = near & ~is_hardest & (pt > r.isolation_particle_pt)
    around = sums(draw, pt * counted, len(counts))
    # Pile-up subtraction can lower an isolation sum: leave room for it.
    room = 3 * r.pile_up_density_spread * np.sqrt(r.pile_up * np.pi) * r.isolation_cone
    return (hardest > PRESELECTION * r.filter_lepton_pt) & (around < r.isolation_max * hardest / PRESELECTION + room)


def _joined(batches: list[Batch]) -> Batch:
    counts = np.concatenate([np.diff(batch.offsets) for batch in batches])

    def both(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    return Batch(offsets_of(counts), *(both(name) for name in ("pdg", "px", "py", "pz", "e", "group")))


def cap(group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks at most MAX_COPIES events of each group."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    rank = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    keep = np.zeros(len(group), dtype=bool)
    keep[order[rank < MAX_COPIES]] = True
    return keep
