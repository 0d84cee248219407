"""From stable particles to the 19 objects of an event: efficiency, resolution, isolation, jets, missing momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import fastjet
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from l1models import layout
from l1models.generate.batch import NEUTRINOS, Batch, ragged_indices, sums, wrap_phi
from l1models.generate.response import Response

ELECTRON, MUON, PHOTON = 11, 13, 22
CLUSTERING_MIN_PT = 5.0  # GeV; far enough below the threshold that the resolution cannot lift a jet over it


@dataclass(frozen=True)
class Table:
    """Reconstructed objects, in order of their event: momentum in GeV, angles; particle -1 where there is none."""

    event: NDArray[np.int64]
    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    muon: NDArray[np.bool_]
    particle: NDArray[np.int64]

    def __getitem__(self, keep: NDArray[Any]) -> Table:
        return Table(
            self.event[keep], self.pt[keep], self.eta[keep], self.phi[keep], self.muon[keep], self.particle[keep]
        )

    def joined(self, other: Table) -> Table:
        """Both tables' objects, in order of their event."""
        event = np.concatenate([self.event, other.event])
        order = np.argsort(event, kind="stable")

        def both(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([a, b])[order]

        return Table(
            event[order],
            both(self.pt, other.pt),
            both(self.eta, other.eta),
            both(self.phi, other.phi),
            both(self.muon, other.muon),
            both(self.particle, other.particle),
        )


@dataclass(frozen=True)
class Soft:
    """What is added to simulated particles: zero where the generator made it itself."""

    underlying: bool
    hadronisation: bool


def delta_r(eta_a: NDArray[Any], phi_a: NDArray[Any], eta_b: NDArray[Any], phi_b: NDArray[Any]) -> NDArray[np.float64]:
    """Distance in (eta, phi)."""
    return np.hypot(eta_a - eta_b, wrap_phi(phi_a - phi_b))


def electron_efficiency(pt: NDArray[Any], eta: NDArray[Any], r: Response) -> NDArray[np.float64]:
    """Probability to find an electron of true ``pt`` [GeV] and ``eta``."""
    plateau = np.array(r.electron_efficiency)[np.digitize(np.abs(eta), r.electron_efficiency_eta)]
    return plateau * _turn_on(pt, r.electron_turn_on_pt, r.electron_turn_on_width)


def muon_efficiency(pt: NDArray[Any], r: Response) -> NDArray[np.float64]:
    """Probability to find a muon of true ``pt`` [GeV] within the muon acceptance."""
    return r.muon_efficiency * _turn_on(pt, r.muon_turn_on_pt, r.muon_turn_on_width)


def _turn_on(pt: NDArray[Any], middle: float, width: float) -> NDArray[np.float64]:
    return 0.5 * (1 + erf((pt - middle) / (np.sqrt(2) * width)))


def electron_resolution(energy: NDArray[Any], eta: NDArray[Any], r: Response) -> NDArray[np.float64]:
    """Relative energy resolution of an electron of ``energy`` [GeV]."""
    constant = np.array(r.electron_constant)[np.digitize(np.abs(eta), r.electron_efficiency_eta[:1])]
    return np.sqrt(r.electron_stochastic**2 / energy + (r.electron_noise / energy) ** 2 + constant**2)


def muon_resolution(pt: NDArray[Any], eta: NDArray[Any], r: Response) -> NDArray[np.float64]:
    """Relative transverse-momentum resolution of a muon of ``pt`` [GeV]."""
    region = np.digitize(np.abs(eta), r.muon_resolution_eta)
    return np.hypot(np.array(r.muon_resolution_constant)[region], np.array(r.muon_resolution_slope)[region] * pt)


def jet_resolution(pt: NDArray[Any], r: Response) -> NDArray[np.float64]:
    """Relative transverse-momentum resolution of a jet of true ``pt`` [GeV]."""
    return np.sqrt((r.jet_noise / pt) ** 2 + r.jet_stochastic**2 / pt + r.jet_constant**2)


def visible(batch: Batch, r: Response) -> Batch:
    """The particles that leave energy within the calorimeters' acceptance; muons only where stations are."""
    pdg = np.abs(batch.pdg)
    inside = np.abs(batch.eta) < np.where(pdg == MUON, r.muon_visible_max_eta, r.visible_max_eta)
    return batch.particles(inside & ~np.isin(pdg, NEUTRINOS))


def leptons(batch: Batch, soft: Soft, r: Response, rng: np.random.Generator) -> Table:
    """Electrons and muons that are found, measured and isolated; ``batch`` holds visible particles."""
    pdg = np.abs(batch.pdg)
    index = np.flatnonzero(
        ((pdg == ELECTRON) | (pdg == MUON))
        & (batch.pt > 0.5 * r.lepton_min_pt)
        & (np.abs(batch.eta) < r.electron_max_eta)
    )
    muon = pdg[index] == MUON
    event, eta, phi = batch.event[index], batch.eta[index], batch.phi[index]

    counts = np.diff(batch.offsets)[event]
    other = ragged_indices(batch.offsets[event], counts)
    lepton = np.repeat(np.arange(len(index)), counts)
    near = delta_r(eta[lepton], phi[lepton], batch.eta[other], batch.phi[other]) < r.isolation_cone
    near &= other != index[lepton]
    lepton, other = lepton[near], other[near]
    distance = delta_r(eta[lepton], phi[lepton], batch.eta[other], batch.phi[other])
    radiated = (pdg[other] == PHOTON) & ~muon[lepton] & (distance < r.electron_photon_cone)
    true_pt = batch.pt[index] + sums(lepton[radiated], batch.pt[other[radiated]], len(index))
    counted = ~radiated & (batch.pt[other] > r.isolation_particle_pt)
    around = sums(lepton[counted], batch.pt[other[counted]], len(index))

    area = np.pi * r.isolation_cone**2
    if soft.underlying:
        around += rng.gamma(r.underlying_shape, r.underlying_density * area / r.underlying_shape, len(index))
    interactions = rng.poisson(r.pile_up, len(batch))[event]
    around += rng.normal(size=len(index)) * r.pile_up_density_spread * np.sqrt(interactions * area)

    resolution = np.where(muon, muon_resolution(true_pt, eta, r), electron_resolution(true_pt * np.cosh(eta), eta, r))
    pt = true_pt * (1 + resolution * rng.normal(size=len(index)))
    efficiency = np.where(muon, muon_efficiency(true_pt, r), electron_efficiency(true_pt, eta, r))
    found = rng.random(len(index)) < efficiency
    accepted = found & (pt > r.lepton_min_pt) & (np.maximum(around, 0) < r.isolation_max * pt)
    accepted &= np.abs(eta) < np.where(muon, r.muon_max_eta, r.electron_max_eta)
    return Table(event, pt, eta, phi, muon, index)[accepted]


def jets(batch: Batch, found: Table, r: Response) -> Table:
    """Anti-kt jets of what is left once the accepted leptons (and the photons electrons radiated) are taken away."""
    keep = np.ones(len(batch.pdg), dtype=bool)
    keep[found.particle[found.particle >= 0]] = False
    electron = found[~found.muon & (found.particle >= 0)]
    counts = np.diff(batch.offsets)[electron.event]
    other = ragged_indices(batch.offsets[electron.event], counts)
    photon = np.abs(batch.pdg[other]) == PHOTON
    owner, other = np.repeat(np.arange(len(counts)), counts)[photon], other[photon]
    near = delta_r(electron.eta[owner], electron.phi[owner], batch.eta[other], batch.phi[other])
    keep[other[near < r.electron_photon_cone]] = False
    rest = batch.particles(keep)
    # FastJet refuses an array whose every event is empty; a particle too soft to make a jet goes unseen.
    vectors = ak.zip({"px": rest.px, "py": rest.py, "pz": rest.pz, "E": rest.e}, with_name="Momentum4D")
    ragged = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(rest.offsets), vectors.layout))
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, r.jet_radius)
    clustered = fastjet.ClusterSequence(ragged, definition).inclusive_jets(CLUSTERING_MIN_PT)
    event = np.repeat(np.arange(len(batch)), ak.to_numpy(ak.num(clustered, axis=1)))
    px, py, pz = (ak.to_numpy(ak.flatten(clustered[name])) for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    none = np.zeros(len(pt), dtype=bool)
    return Table(event, pt, np.arcsinh(pz / pt), np.arctan2(py, px), none, np.full(len(pt), -1))


def measured_jets(true: Table, soft: Soft, r: Response, rng: np.random.Generator) -> Table:
    """Jets with the detector's scale and resolution, one for every true jet and in the same order."""
    pt = np.maximum(true.pt - r.hadronisation_loss * soft.hadronisation, 1.0)
    pt = np.maximum(pt * (1 + jet_resolution(pt, r) * rng.normal(size=len(pt))), 0.0)
    eta = true.eta + r.jet_angle * rng.normal(size=len(pt))
    phi = wrap_phi(true.phi + r.jet_angle * rng.normal(size=len(pt)))
    return Table(true.event, pt, eta, phi, true.muon, true.particle)


def soft_jets(events: int, soft: Soft, r: Response, rng: np.random.Generator) -> Table:
    """Jets over threshold from pile-up and, where it was not simulated, the underlying event."""
    mean = r.pile_up * r.pile_up_jets + r.underlying_jets * soft.underlying
    event = np.repeat(np.arange(events), rng.poisson(mean, events))
    n = len(event)
    pt = r.jet_min_pt * (1 - rng.random(n)) ** (-1 / r.pile_up_jet_slope)
    eta = r.jet_max_eta * (2 * rng.random(n) - 1)
    phi = np.pi * (2 * rng.random(n) - 1)
    return Table(event, pt, eta, phi, np.zeros(n, dtype=bool), np.full(n, -1))


def misidentification(jet: Table, r: Response) -> NDArray[np.float64]:
    """Probability (n, 2) that a jet is taken for an electron or a muon."""
    over = jet.pt > r.jet_min_pt
    eta = np.abs(jet.eta)
    return np.stack(
        [
            r.electron_misidentification * (over & (eta < r.electron_max_eta)),
            r.muon_misidentification * (over & (eta < r.muon_max_eta)),
        ],
        axis=1,
    )


def misidentified(jet: Table, chosen: NDArray[np.int64], r: Response, rng: np.random.Generator) -> Table:
    """The jets ``chosen`` (indices) as leptons: they pass the isolation, so they carry most of the jet."""
    fake = jet[chosen]
    chance = misidentification(fake, r)
    muon = rng.random(len(chosen)) * chance.sum(axis=1) < chance[:, 1]
    carried = 1 / (1 + r.isolation_max * rng.random(len(chosen)))
    return Table(fake.event, fake.pt * carried, fake.eta, fake.phi, muon, fake.particle)


def missing_momentum(
    batch: Batch,
    true: Table,
    measured: Table,
    found: Table,
    soft: Soft,
    r: Response,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Missing transverse momentum [GeV] and azimuth of every event.

    Minus the visible sum, moved by what the resolution did to jets over threshold and leptons, and smeared by
    soft energy and pile-up.
    """
    n = len(batch)
    hard = measured.pt > r.jet_min_pt
    own = found.particle >= 0
    components = []
    for total, function in ((batch.px, np.cos), (batch.py, np.sin)):
        seen = sums(batch.event, total, n)
        moved = measured.pt * function(measured.phi) - true.pt * function(true.phi)
        seen += sums(true.event[hard], moved[hard], n)
        lepton = found[own]
        moved = lepton.pt * function(lepton.phi) - batch.pt[lepton.particle] * function(lepton.phi)
        seen += sums(lepton.event, moved, n)
        components.append(-seen)
    rest = sums(batch.event, batch.pt, n) - sums(true.event[hard], true.pt[hard], n)
    rest -= sums(found.event[own], batch.pt[found.particle[own]], n)
    underlying = soft.underlying * r.underlying_density * 4 * np.pi * r.visible_max_eta
    spread = np.sqrt(
        r.met_stochastic**2 * (np.maximum(rest, 0) + underlying) + rng.poisson(r.pile_up, n) * r.met_per_pile_up**2
    )
    x, y = (value + spread * rng.normal(size=n) for value in components)
    return np.hypot(x, y), np.arctan2(y, x)


def remove_overlap(jet: Table, electron: Table, r: Response) -> NDArray[np.bool_]:
    """Which jets are not an accepted electron once more."""
    first = np.searchsorted(electron.event, jet.event)
    counts = np.searchsorted(electron.event, jet.event, side="right") - first
    other = ragged_indices(first, counts)
    owner = np.repeat(np.arange(len(jet.event)), counts)
    near = delta_r(jet.eta[owner], jet.phi[owner], electron.eta[other], electron.phi[other]) < r.jet_electron_distance
    return np.bincount(owner[near], minlength=len(jet.event)) == 0


def assemble(events: int, met: tuple[NDArray[Any], NDArray[Any]], found: Table, jet: Table) -> NDArray[np.float32]:
    """Objects (N, 19, 4): pT, eta, phi, class; each class by falling pT, as many as there are slots."""
    objects = np.zeros((events, layout.OBJECTS, 4), dtype=np.float32)
    objects[:, 0, 0], objects[:, 0, 2] = met
    for table, slots in ((found[~found.muon], layout.ELECTRONS), (found[found.muon], layout.MUONS), (jet, layout.JETS)):
        order = np.lexsort((-table.pt, table.event))
        table = table[order]
        rank = np.arange(len(order)) - np.searchsorted(table.event, table.event)
        fits = rank < slots.stop - slots.start
        row, column = table.event[fits], slots.start + rank[fits]
        objects[row, column, 0] = table.pt[fits]
        objects[row, column, 1] = table.eta[fits]
        objects[row, column, 2] = table.phi[fits]
    # float32 rounds pi up, out of [-pi, pi).
    limit = np.nextafter(np.float32(np.pi), np.float32(0))
    objects[..., 2] = np.clip(objects[..., 2], -limit, limit)
    present = objects[..., 0] > 0
    objects[..., 3] = layout.CLASS_OF_SLOT * present
    return objects
