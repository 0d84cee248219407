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


@dataclass(frozen=True)
class Reconstructed:
    """Objects float32 (n, 19, 4) and groups int64 (n,) of the events that passed."""

    objects: NDArray[np.float32]
    group: NDArray[np.int64]


def reconstruct(
    batch: Batch, soft: Soft, r: Response, rng: np.random.Generator, lepton_filter: bool = True
) -> Reconstructed:
    """Apply the response to every event, and the filter: one electron or muon over ``r.filter_lepton_pt``."""
    batch = detector.visible(batch, r)
    if lepton_filter:
        batch = batch.events(_could_pass(batch, r))
    found = detector.leptons(batch, soft, r, rng)
    if lepton_filter:
        batch, found = _select(batch, found, _has_lepton(len(batch), found, r))
    true = detector.jets(batch, found, r)
    measured = detector.measured_jets(true, soft, r, rng)
    chance = detector.misidentification(measured, r).sum(axis=1)
    taken = np.flatnonzero(rng.random(len(chance)) < chance)
    return Reconstructed(_finish(batch, found, true, measured, taken, soft, r, rng), batch.group)


def reconstruct_misidentified(
    batch: Batch, soft: Soft, r: Response, rng: np.random.Generator, copies: int, candidates: int
) -> tuple[Reconstructed, float]:
    """As ``reconstruct``, for events where a jet is taken for the lepton; and the probability each one stands for.

    Each event goes through the detector ``copies`` times. A passage in which k jets (at most ``candidates``) could
    be taken for a lepton over the threshold is kept with probability k / ``candidates``, with one of them taken.
    """
    batch = detector.visible(batch, r)
    found = detector.leptons(batch, soft, r, rng)
    true = detector.jets(batch, found, r)
    batch, found, true = _repeated(batch, found, true, copies)
    measured = detector.measured_jets(true, soft, r, rng)
    chance = detector.misidentification(measured, r).sum(axis=1) * (measured.pt > r.filter_lepton_pt)
    scale = candidates * (r.electron_misidentification + r.muon_misidentification)
    taken, kept = _take_one(measured, chance, len(batch), scale, rng)
    objects = _finish(batch, found, true, measured, taken, soft, r, rng)
    lepton_pt = objects[:, layout.ELECTRONS.start : layout.MUONS.stop, 0].max(axis=1)
    kept &= lepton_pt > r.filter_lepton_pt
    return Reconstructed(objects[kept], batch.group[kept]), scale / copies


def _finish(
    batch: Batch,
    found: Table,
    true: Table,
    measured: Table,
    taken: NDArray[np.int64],
    soft: Soft,
    r: Response,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The objects (N, 19, 4) of all events, with the jets ``taken`` (indices) turned into leptons."""
    met = detector.missing_momentum(batch, true, measured, found, soft, r, rng)
    leptons = found.joined(detector.misidentified(measured, taken, r, rng))
    others = np.ones(len(measured.pt), dtype=bool)
    others[taken] = False
    jet = measured[others].joined(detector.soft_jets(len(batch), soft, r, rng))
    jet = jet[(jet.pt > r.jet_min_pt) & (np.abs(jet.eta) < r.jet_max_eta)]
    jet = jet[detector.remove_overlap(jet, leptons[~leptons.muon], r)]
    leptons = leptons[leptons.pt > r.lepton_min_pt]
    return detector.assemble(len(batch), met, leptons, jet)


def _repeated(batch: Batch, found: Table, true: Table, copies: int) -> tuple[Batch, Table, Table]:
    """Everything ``copies`` times over, the copies of an event sharing its group."""
    n, particles = len(batch), len(batch.pdg)

    def table(one: Table) -> Table:
        event = np.concatenate([one.event + k * n for k in range(copies)])
        particle = np.concatenate(
            [np.where(one.particle >= 0, one.particle + k * particles, -1) for k in range(copies)]
        )
        return Table(
            event,
            np.tile(one.pt, copies),
            np.tile(one.eta, copies),
            np.tile(one.phi, copies),
            np.tile(one.muon, copies),
            particle,
        )

    return batch.repeated(copies), table(found), table(true)


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
    before -= np.append(before, 0.0)[first[jet.event]]
    drawn = (rng.random(events) * total)[jet.event]
    taken = np.flatnonzero((before <= drawn) & (drawn < before + chance))
    kept = rng.random(events) < total / scale
    kept &= np.bincount(jet.event[taken], minlength=events) == 1
    return taken, kept
