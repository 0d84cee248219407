"""Decay banks: kinematics, polarisation, and the pairing of taus."""

from __future__ import annotations

import numpy as np
import pytest

from l1models.generate import decays, heavy_flavour
from l1models.generate.batch import Batch, offsets_of
from l1models.generate.response import Response


@pytest.fixture(scope="module")
def bank() -> decays.Bank:
    return decays.make_bank(decays.TAU, 4000, 11)


def taus(count: int, momentum: float, per_event: int = 1) -> Batch:
    """``count`` taus of ``momentum`` [GeV] along x."""
    n = count * per_event
    sign = np.tile([1, -1], n)[:n] if per_event == 2 else np.ones(n, dtype=int)
    return Batch(
        offsets_of(np.full(count, per_event)),
        (15 * sign).astype(np.int32),
        np.full(n, momentum),
        np.zeros(n),
        np.zeros(n),
        np.full(n, np.hypot(momentum, decays.TAU_MASS)),
        np.arange(count, dtype=np.int64),
    )


def test_leptonic_fraction_is_the_branching_ratio(bank: decays.Bank) -> None:
    # PDG: 17.82 % to an electron, 17.39 % to a muon.
    assert bank.leptonic_fraction == pytest.approx(0.352, abs=0.025)


def test_a_bank_is_decays_at_rest_with_the_analyser_along_z(bank: decays.Bank) -> None:
    decay = np.repeat(np.arange(len(bank)), np.diff(bank.offsets))
    total = np.stack([np.bincount(decay, bank.momentum[:, i]) for i in range(4)], axis=1)
    assert np.abs(total[:, :2]).max() < 1e-6
    assert (total[:, 2] >= 0).all()
    assert (total[:, 3] < decays.TAU_MASS + 1e-6).all()


def test_boost_keeps_masses_and_aims_along_the_mother(bank: decays.Bank) -> None:
    rng = np.random.default_rng(1)
    batch = taus(2000, 50.0)
    after = decays.decay(batch, np.arange(2000), rng.integers(len(bank), size=2000), bank, np.zeros(2000), rng)
    assert after.e.max() <= 51.0
    mass2 = after.e**2 - after.px**2 - after.py**2 - after.pz**2
    muons = np.abs(after.pdg) == 13
    assert np.sqrt(mass2[muons]) == pytest.approx(0.10566, abs=1e-3)
    assert after.px.sum() / 2000 > 0.5 * 50
    assert abs(after.py.mean()) < 0.2


@pytest.mark.parametrize(("polarisation", "mean"), [(-1.0, 0.40), (0.0, 0.35), (1.0, 0.30)])
def test_polarisation_moves_the_lepton_energy(bank: decays.Bank, polarisation: float, mean: float) -> None:
    """<E_lepton/E_tau> = 7/20 - P/20 for a tau- of polarisation P (Tsai 1971)."""
    rng = np.random.default_rng(2)
    n = 20_000
    entries = rng.choice(np.flatnonzero(bank.leptonic), n)
    after = decays.decay(taus(n, 200.0), np.arange(n), entries, bank, np.full(n, polarisation), rng)
    lepton = np.isin(np.abs(after.pdg), (11, 13))
    assert after.e[lepton].mean() / 200 == pytest.approx(mean, abs=0.01)


def test_tau_pairs_have_their_parents_helicities() -> None:
    rng = np.random.default_rng(4)
    batch = taus(5000, 30.0, per_event=2)
    every = np.arange(10_000)
    vector = decays.tau_polarisation("vector-pair", batch, every, rng).reshape(-1, 2)
    assert (vector[:, 0] == vector[:, 1]).all()
    assert vector.mean() == pytest.approx(decays.Z_TAU_POLARISATION, abs=0.05)
    scalar = decays.tau_polarisation("scalar-pair", batch, every, rng).reshape(-1, 2)
    assert (scalar[:, 0] == -scalar[:, 1]).all()
    assert (decays.tau_polarisation("W", batch, every, rng) == -1).all()
    assert (decays.tau_polarisation("scalar", batch, every, rng) == 1).all()


def test_heavy_flavour_copies_replace_the_hadron_and_share_its_group() -> None:
    rng = np.random.default_rng(5)
    banks = {pdg: decays.make_bank(pdg, 300, pdg) for pdg in heavy_flavour.SPECIES}
    momentum, mass = 80.0, 5.28
    batch = Batch(
        offsets_of(np.array([2, 1])),
        np.array([511, 211, 211], dtype=np.int32),
        np.array([momentum, -momentum, 5.0]),
        np.zeros(3),
        np.zeros(3),
        np.array([np.hypot(momentum, mass), momentum, 5.0]),
        np.array([40, 41], dtype=np.int64),
    )
    copies = heavy_flavour.copies(batch, banks, 2000, Response(), rng)
    assert len(copies) > 5
    assert (copies.group == 40).all()
    assert (heavy_flavour.species(copies.pdg) == -1).all()
    assert (np.bincount(copies.event[copies.pdg == 211], minlength=len(copies)) >= 1).all()
    lepton = np.isin(np.abs(copies.pdg), (11, 13))
    hardest = np.zeros(len(copies))
    np.maximum.at(hardest, copies.event[lepton], copies.pt[lepton])
    assert (hardest > 0.8 * 23).all()


def test_the_cap_keeps_no_more_than_its_number_per_group() -> None:
    group = np.array([3, 3, 7, 3, 3, 3, 7, 3], dtype=np.int64)
    assert heavy_flavour.cap(group).tolist() == [True, True, True, True, True, False, True, False]
