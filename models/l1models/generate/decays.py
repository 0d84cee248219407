"""Decays drawn from banks: polarised taus, and hadrons with heavy quarks.

A bank holds decays that Pythia made at rest. A particle of an event takes one of them at random, turned at
random about its spin axis and boosted. For taus the angle between the visible decay products and the spin
follows 1 + P a cos(theta), with the analysing power a of the decay: (1 - 2x)/(3 - 2x) for a lepton carrying the
fraction x of its largest energy, (m_tau^2 - 2 m^2)/(m_tau^2 + 2 m^2) for hadrons of mass m
(Tsai, Phys. Rev. D 4 (1971) 2821; Bullock, Hagiwara and Martin, Nucl. Phys. B 395 (1993) 499).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pythia8mc
from numpy.typing import NDArray

from l1models.generate.batch import NEUTRINOS, Batch, offsets_of, ragged_indices
from l1models.generate.pythia import MAX_SEED

TAU = 15
TAU_MASS = 1.77686  # GeV, PDG
# Mean tau polarisation in Z decays: -A_tau (PDG 2022 listing of Z asymmetries).
Z_TAU_POLARISATION = -0.143
PACK = 100  # decays per Pythia event: an event costs more than a decay


@dataclass(frozen=True)
class Bank:
    """Decays at rest: visible products with the analyser along +z, and each decay's analysing power."""

    offsets: NDArray[np.int64]
    pdg: NDArray[np.int32]
    momentum: NDArray[np.float64]  # (n, 4): px, py, pz, e in GeV
    analysing_power: NDArray[np.float64]
    leptonic: NDArray[np.bool_]

    @property
    def leptonic_fraction(self) -> float:
        """Fraction of decays with an electron or a muon."""
        return float(self.leptonic.mean())

    def __len__(self) -> int:
        return len(self.offsets) - 1


def make_bank(pdg: int, count: int, seed: int) -> Bank:
    """``count`` decays at rest of the particle ``pdg``, made by Pythia (isotropic in the rest frame)."""
    pythia = pythia8mc.Pythia("", False)
    for line in (
        "ProcessLevel:all = off",
        "Print:quiet = on",
        "Next:numberCount = 0",
        "TauDecays:mode = 3",
        "TauDecays:tauPolarization = 0.",
        "Random:setSeed = on",
        f"Random:seed = {1 + seed % (MAX_SEED - 1)}",
    ):
        pythia.readString(line)
    pythia.init()
    mass = pythia.particleData.m0(pdg)
    ids: list[int] = []
    momenta: list[tuple[float, float, float, float]] = []
    decay: list[int] = []
    for first in range(0, count, PACK):
        size = min(PACK, count - first)
        pythia.event.reset()
        for _ in range(size):
            pythia.event.append(pdg, 1, 0, 0, 0.0, 0.0, 0.0, mass, mass)
        if not pythia.next():
            raise RuntimeError(f"Pythia could not decay particle {pdg}")
        particles = pythia.event.particles()
        origin = list(range(-1, size))  # entry 0 of the record is the system
        for particle in particles[size + 1 :]:
            origin.append(origin[particle.mother1()])
            if particle.isFinal() and abs(particle.id()) not in NEUTRINOS:
                ids.append(particle.id())
                momenta.append((particle.px(), particle.py(), particle.pz(), particle.e()))
                decay.append(first + origin[-1])
    order = np.argsort(decay, kind="stable")
    counts = np.bincount(decay, minlength=count)
    return _with_analyser(mass, counts, np.array(ids, dtype=np.int32)[order], np.array(momenta)[order])


def _with_analyser(mass: float, counts: NDArray[np.int64], pdg: NDArray[np.int32], momentum: NDArray[Any]) -> Bank:
    """Turn each decay so that its visible momentum points along +z, and work out its analysing power."""
    decay = np.repeat(np.arange(len(counts)), counts)
    total = np.stack([np.bincount(decay, momentum[:, i], len(counts)) for i in range(4)], axis=1)
    size = np.linalg.norm(total[:, :3], axis=1)
    cos_theta = total[:, 2] / np.maximum(size, 1e-12)
    azimuth = np.arctan2(total[:, 1], total[:, 0])
    c, s = cos_theta[decay], np.sqrt(np.maximum(0.0, 1 - cos_theta**2))[decay]
    cp, sp = np.cos(azimuth)[decay], np.sin(azimuth)[decay]
    x = cp * momentum[:, 0] + sp * momentum[:, 1]
    y = -sp * momentum[:, 0] + cp * momentum[:, 1]
    turned = np.stack([c * x - s * momentum[:, 2], y, s * x + c * momentum[:, 2], momentum[:, 3]], axis=1)
    visible_mass2 = np.maximum(total[:, 3] ** 2 - size**2, 0.0)
    hadronic = (mass**2 - 2 * visible_mass2) / (mass**2 + 2 * visible_mass2)
    fraction = np.minimum(2 * total[:, 3] / mass, 1.0)
    leptonic = (1 - 2 * fraction) / (3 - 2 * fraction)
    is_leptonic = np.bincount(decay, np.isin(np.abs(pdg), (11, 13)), len(counts)) > 0
    return Bank(offsets_of(counts), pdg, turned, np.where(is_leptonic, leptonic, hadronic), is_leptonic)


def tau_polarisation(kind: str, batch: Batch, taus: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Polarisation of each tau, in the sense of a tau- (a tau+ of opposite helicity decays alike).

    ``kind``: "W" left-handed; "scalar" from a charged scalar, right-handed; "vector-pair" from a Z or photon,
    both alike; "scalar-pair" opposite; "none" unpolarised. Transverse spin correlations are left out.
    """
    if kind == "W":
        return np.full(len(taus), -1.0)
    if kind == "scalar":
        return np.full(len(taus), 1.0)
    if kind == "none":
        return np.zeros(len(taus))
    # Both taus of a pair are neighbours in the record.
    event = batch.event[taus]
    first = np.searchsorted(event, event)
    rank = np.arange(len(taus)) - first
    mean = Z_TAU_POLARISATION if kind == "vector-pair" else 0.0
    sign = np.where(rng.random(len(taus)) < (1 + mean) / 2, 1.0, -1.0)
    pair = sign[np.arange(len(taus)) - rank % 2]
    return pair if kind == "vector-pair" else np.where(rank % 2 == 0, pair, -pair)


def decay(
    batch: Batch,
    mothers: NDArray[np.int64],
    entries: NDArray[np.int64],
    bank: Bank,
    polarisation: NDArray[np.float64],
    rng: np.random.Generator,
) -> Batch:
    """Replace the particles ``mothers`` (indices) by the decays ``entries`` of the bank, turned and boosted."""
    counts = np.diff(bank.offsets)[entries]
    rows = ragged_indices(bank.offsets[entries], counts)
    p = boosted(
        np.stack([batch.px[mothers], batch.py[mothers], batch.pz[mothers], batch.e[mothers]], axis=1),
        bank.momentum[rows],
        counts,
        polarisation * bank.analysing_power[entries],
        rng,
    )
    stays = np.ones(len(batch.pdg), dtype=bool)
    stays[mothers] = False
    event = np.concatenate([batch.event[stays], np.repeat(batch.event[mothers], counts)])
    order = np.argsort(event, kind="stable")

    def merged(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([old[stays], new])[order]

    return Batch(
        offsets_of(np.bincount(event, minlength=len(batch))),
        merged(batch.pdg, bank.pdg[rows]),
        merged(batch.px, p[:, 0]),
        merged(batch.py, p[:, 1]),
        merged(batch.pz, p[:, 2]),
        merged(batch.e, p[:, 3]),
        batch.group,
    )


def boosted(
    mother: NDArray[Any],
    products: NDArray[Any],
    counts: NDArray[np.int64],
    asymmetry: NDArray[Any],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Products (n, 4) at rest into the lab of their mothers (m, 4); cos(theta*) follows 1 + asymmetry cos(theta*)."""
    n = len(mother)
    u = rng.random(n)
    a = np.where(np.abs(asymmetry) < 1e-6, 1e-6, asymmetry)
    cos_t = np.clip((np.sqrt((1 - a) ** 2 + 4 * a * u) - 1) / a, -1, 1)
    sin_t = np.sqrt(1 - cos_t**2)
    spin, azimuth = 2 * np.pi * rng.random((2, n))
    size = np.linalg.norm(mother[:, :3], axis=1)
    mass = np.sqrt(np.maximum(mother[:, 3] ** 2 - size**2, 1e-12))
    gamma, gamma_beta = mother[:, 3] / mass, size / mass
    flight_cos = mother[:, 2] / np.maximum(size, 1e-12)
    flight_sin = np.sqrt(np.maximum(0.0, 1 - flight_cos**2))
    flight_phi = np.arctan2(mother[:, 1], mother[:, 0])

    def each(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values, counts)

    x, y = _turn(products[:, 0], products[:, 1], each(np.cos(spin)), each(np.sin(spin)))
    z, x = _turn(products[:, 2], x, each(cos_t), each(sin_t))
    x, y = _turn(x, y, each(np.cos(azimuth)), each(np.sin(azimuth)))
    e = each(gamma) * products[:, 3] + each(gamma_beta) * z
    z = each(gamma) * z + each(gamma_beta) * products[:, 3]
    z, x = _turn(z, x, each(flight_cos), each(flight_sin))
    x, y = _turn(x, y, each(np.cos(flight_phi)), each(np.sin(flight_phi)))
    return np.stack([x, y, z, e], axis=1)


def _turn(u: NDArray[Any], v: NDArray[Any], cos: NDArray[Any], sin: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return cos * u - sin * v, sin * u + cos * v
