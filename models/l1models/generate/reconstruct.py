"""The order in which the response is applied, cheapest refusal first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.generate import detector
from l1models.generate.batch import Batch, sums
from l1models.generate.detector import ELECTRON, MUON, Soft, Table
from l1models.generate.response import Response

# A lepton this far under the filter's threshold never passes: six times the worst resolution.
PRESELECTION = 0.8
# An event with more jets that could be taken for a lepton counts as one with this many.
MAX_CANDIDATES = 6


@dataclass(frozen=True)
class Reconstructed:
    """Objects float32 (n, 19, 4) and groups int64 (n,) of the events that passed."""

    objects: NDArray[np.float32]
    group: NDArray[np.int64]


def reconstruct(
    batch: Batch,
    soft: Soft,
    r: Response,
    rng: np.random.Generator,
    lepton_filter: bool = True,
    force_misidentified: bool = False,
) -> Reconstructed:
    """Apply the response to every event, and the filter: one electron or muon over ``r.filter_lepton_pt``.

    With ``force_misidentified`` every event with a jet that could be taken for a lepton has one taken, and is kept
    in proportion to how likely that was; ``misidentified_scale`` is the probability that a kept event stands for.
    """
    batch = detector.visible(batch, r)
    if lepton_filter and not force_misidentified:
        batch = batch.events(_could_pass(batch, r))
    found = detector.leptons(batch, soft, r, rng)
    if lepton_filter and not force_misidentified:
        batch, found = _select(batch, found, _has_lepton(len(batch), found, r))
    if len(batch) == 0:
        return Reconstructed(np.zeros((0, layout.OBJECTS, 4), dtype=np.float32), batch.group)
    true = detector.jets(batch, found, r)
    measured = detector.measured_jets(true, soft, r, rng)
    chance = detector.misidentification(measured, r).sum(axis=1)
    kept = np.ones(len(batch), dtype=bool)
    if force_misidentified:
        chance *= measured.pt > r.filter_lepton_pt
        taken, kept = _take_one(measured, chance, len(batch), misidentified_scale(r), rng)
    else:
        taken = np.flatnonzero(rng.random(len(chance)) < chance)
    met = detector.missing_momentum(batch, true, measured, found, r, rng)
    leptons = found.joined(detector.misidentified(measured, taken, r, rng))
    jets = np.ones(len(measured.pt), dtype=bool)
    jets[taken] = False
    jet = measured[jets].joined(detector.soft_jets(len(batch), soft, r, rng))
    jet = jet[(jet.pt > r.jet_min_pt) & (np.abs(jet.eta) < r.jet_max_eta)]
    jet = jet[detector.remove_overlap(jet, leptons[~leptons.muon], r)]
    objects = detector.assemble(len(batch), met, leptons, jet)
    if lepton_filter:
        kept &= _has_lepton(len(batch), leptons, r)
    return Reconstructed(objects[kept], batch.group[kept])


def misidentified_scale(r: Response) -> float:
    """The probability that an event kept with ``force_misidentified`` stands for."""
    return MAX_CANDIDATES * (r.electron_misidentification + r.muon_misidentification)


def _could_pass(batch: Batch, r: Response) -> NDArray[np.bool_]:
    pdg = np.abs(batch.pdg)
    eta = np.abs(batch.eta)
    hard = batch.pt > PRESELECTION * r.filter_lepton_pt
    good = hard & (((pdg == ELECTRON) & (eta < r.electron_max_eta)) | ((pdg == MUON) & (eta < r.muon_max_eta)))
    return np.bincount(batch.event[good], minlength=len(batch)) > 0


def _has_lepton(events: int, found: Table, r: Response) -> NDArray[np.bool_]:
    return np.bincount(found.event[found.pt > r.filter_lepton_pt], minlength=events) > 0


def _select(batch: Batch, found: Table, keep: NDArray[np.bool_]) -> tuple[Batch, Table]:
    """The marked events, with the leptons' event and particle indices following."""
    new_event = np.cumsum(keep) - 1
    selected = batch.events(keep)
    found = found[keep[found.event]]
    moved = batch.offsets[found.event] - selected.offsets[new_event[found.event]]
    return selected, Table(new_event[found.event], found.pt, found.eta, found.phi, found.muon, found.particle - moved)


def _take_one(
    jet: Table, chance: NDArray[np.float64], events: int, scale: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One jet of each event, drawn by ``chance``; and which events are kept, in proportion to their summed chance."""
    total = sums(jet.event, chance, events)
    before = np.cumsum(chance) - chance
    first = np.searchsorted(jet.event, np.arange(events))
    before -= np.concatenate([before, [0.0]])[first[jet.event]]
    drawn = (rng.random(events) * total)[jet.event]
    taken = np.flatnonzero((before <= drawn) & (drawn < before + chance))
    kept = rng.random(events) < total / scale
    kept &= np.bincount(jet.event[taken], minlength=events) == 1
    return taken, kept
