"""The detector response on events made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from l1models.generate import detector
from l1models.generate.batch import Batch, offsets_of, wrap_phi
from l1models.generate.detector import Soft, Table
from l1models.generate.reconstruct import reconstruct, reconstruct_misidentified
from l1models.generate.response import Response

NOTHING = Soft(underlying=False, hadronisation=False)
# A detector that changes nothing: full efficiency, no smearing, no pile-up.
PERFECT = dataclasses.replace(
    Response(),
    electron_efficiency=(1.0, 1.0, 1.0),
    electron_turn_on_width=1e-6,
    electron_stochastic=0.0,
    electron_noise=0.0,
    electron_constant=(0.0, 0.0),
    muon_efficiency=1.0,
    muon_turn_on_pt=1.0,
    muon_turn_on_width=1e-6,
    muon_resolution_constant=(0.0, 0.0, 0.0),
    muon_resolution_slope=(0.0, 0.0, 0.0),
    jet_noise=0.0,
    jet_stochastic=0.0,
    jet_constant=0.0,
    jet_angle=0.0,
    electron_misidentification=0.0,
    muon_misidentification=0.0,
    met_stochastic=0.0,
    met_per_pile_up=0.0,
    pile_up=0.0,
)


def event(*particles: tuple[int, float, float, float]) -> list[tuple[int, float, float, float]]:
    """PDG code, pT [GeV], eta, phi of each particle."""
    return list(particles)


def batch_of(*events: list[tuple[int, float, float, float]]) -> Batch:
    rows = np.array([particle for one in events for particle in one]).reshape(-1, 4)
    pdg, pt, eta, phi = rows.T
    return Batch(
        offsets_of(np.array([len(one) for one in events])),
        pdg.astype(np.int32),
        pt * np.cos(phi),
        pt * np.sin(phi),
        pt * np.sinh(eta),
        pt * np.cosh(eta),
        np.arange(len(events), dtype=np.int64),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_perfect_detector_gives_back_the_event(rng: np.random.Generator) -> None:
    batch = batch_of(event((11, 40.0, 1.0, 0.5), (-13, 30.0, -1.5, -2.0), (211, 50.0, 2.0, 2.5), (12, 20.0, 0.0, 1.0)))
    objects = reconstruct(batch, NOTHING, PERFECT, rng).objects
    assert objects[0, 1] == pytest.approx((40.0, 1.0, 0.5, 2), abs=1e-4)
    assert objects[0, 5] == pytest.approx((30.0, -1.5, -2.0, 3), abs=1e-4)
    assert objects[0, 9] == pytest.approx((50.0, 2.0, 2.5, 4), abs=1e-4)
    assert (objects[0, 1:, 0] > 0).sum() == 3
    seen_x = 40 * np.cos(0.5) + 30 * np.cos(-2.0) + 50 * np.cos(2.5)
    seen_y = 40 * np.sin(0.5) + 30 * np.sin(-2.0) + 50 * np.sin(2.5)
    assert objects[0, 0] == pytest.approx((np.hypot(seen_x, seen_y), 0, np.arctan2(-seen_y, -seen_x), 1), abs=1e-4)


def test_events_without_a_lepton_over_the_filter_are_dropped(rng: np.random.Generator) -> None:
    batch = batch_of(
        event((13, 22.9, 0.0, 0.0)), event((13, 23.1, 0.0, 0.0)), event((13, 90.0, 2.2, 0.0)), event((211, 90.0, 0, 0))
    )
    assert reconstruct(batch, NOTHING, PERFECT, rng).group.tolist() == [1]
    assert reconstruct(batch, NOTHING, PERFECT, rng, lepton_filter=False).group.tolist() == [0, 1, 2, 3]


def test_no_event_passing_gives_an_empty_result(rng: np.random.Generator) -> None:
    passed = reconstruct(batch_of(event((211, 90.0, 0.0, 0.0))), NOTHING, PERFECT, rng)
    assert passed.objects.shape == (0, 19, 4)


@pytest.mark.parametrize(("pdg", "slot", "max_eta"), [(11, 1, 3.0), (13, 5, 2.1)])
def test_lepton_acceptance(pdg: int, slot: int, max_eta: float, rng: np.random.Generator) -> None:
    etas = (-max_eta - 0.01, -max_eta + 0.01, 0.0, max_eta - 0.01, max_eta + 0.01)
    batch = batch_of(*(event((pdg, 30.0, eta, 0.0)) for eta in etas))
    objects = reconstruct(batch, NOTHING, PERFECT, rng, lepton_filter=False).objects
    assert (objects[:, slot, 0] > 0).tolist() == [False, True, True, True, False]


def test_isolation_counts_what_is_in_the_cone(rng: np.random.Generator) -> None:
    batch = batch_of(
        event((13, 30.0, 0.0, 0.0), (211, 13.0, 0.2, 0.0)),  # 0.43
        event((13, 30.0, 0.0, 0.0), (211, 14.0, 0.2, 0.0)),  # 0.47
        event((13, 30.0, 0.0, 0.0), (211, 14.0, 0.5, 0.0)),  # outside
        event((11, 30.0, 0.0, 0.0), (22, 14.0, 0.05, 0.0)),  # its own radiation
        event((13, 30.0, 0.0, 0.0), (22, 14.0, 0.05, 0.0)),  # a muon does not gather photons
    )
    found = detector.leptons(batch, NOTHING, PERFECT, rng)
    assert found.event.tolist() == [0, 2, 3]
    assert found.pt == pytest.approx([30.0, 30.0, 44.0])


def test_an_isolated_electron_is_no_jet_and_a_jet_on_it_is_removed(rng: np.random.Generator) -> None:
    batch = batch_of(event((11, 60.0, 0.0, 0.0), (211, 20.0, 0.35, 0.0), (211, 30.0, 0.0, 3.0)))
    objects = reconstruct(batch, NOTHING, PERFECT, rng).objects
    assert objects[0, 9:, 0].tolist() == pytest.approx([30.0] + [0.0] * 9, abs=1e-4)


def test_an_electron_that_is_not_isolated_stays_in_its_jet(rng: np.random.Generator) -> None:
    batch = batch_of(event((11, 30.0, 0.0, 0.0), (211, 30.0, 0.1, 0.0)))
    objects = reconstruct(batch, NOTHING, PERFECT, rng, lepton_filter=False).objects
    assert objects[0, 1, 0] == 0
    assert objects[0, 9, 0] == pytest.approx(60.0, rel=1e-3)


def test_only_the_hardest_that_fit_are_kept_in_order(rng: np.random.Generator) -> None:
    muons = [(13, 5.0 + i, 0.6 * i - 1.5, 0.0) for i in range(6)]
    jets = [(211, 20.0 + i + side, 2.0 * side, 0.8 * i - 3.0) for i in range(7) for side in (-1, 1)]
    objects = reconstruct(batch_of(event(*muons, *jets)), NOTHING, PERFECT, rng, lepton_filter=False).objects
    assert objects[0, 5:9, 0].tolist() == pytest.approx([10, 9, 8, 7])
    assert objects[0, 9:, 0].tolist() == pytest.approx(sorted((pt for _, pt, _, _ in jets), reverse=True)[:10])


def test_resolutions_are_those_of_the_parameters(rng: np.random.Generator) -> None:
    r = Response()
    assert detector.jet_resolution(np.array([30.0, 100.0, 1000.0]), r) == pytest.approx([0.182, 0.094, 0.047], abs=2e-3)
    assert detector.muon_resolution(np.array([40.0]), np.array([0.1]), r)[0] == pytest.approx(0.0108, abs=1e-4)
    assert detector.electron_resolution(np.array([40.0]), np.array([0.0]), r)[0] == pytest.approx(0.0148, abs=2e-4)
    true = Table(
        np.zeros(50_000, dtype=np.int64), np.full(50_000, 100.0), np.zeros(50_000), np.zeros(50_000),
        np.zeros(50_000, dtype=bool), np.full(50_000, -1),
    )  # fmt: skip
    measured = detector.measured_jets(true, NOTHING, r, rng)
    assert measured.pt.std() == pytest.approx(9.4, rel=0.02)
    assert measured.pt.mean() == pytest.approx(100.0, rel=2e-3)


def test_missing_momentum_spread_grows_with_pile_up(rng: np.random.Generator) -> None:
    quiet = dataclasses.replace(PERFECT, met_per_pile_up=3.3, pile_up=20.0)
    batch = batch_of(*(event((13, 30.0, 0.0, 0.0), (211, 30.0, 0.0, 3.0)) for _ in range(20_000)))
    met = reconstruct(batch, NOTHING, quiet, rng).objects[:, 0]
    truth = 30 - 30 * np.cos(np.pi - 3.0)
    spread = (met[:, 0] * np.cos(met[:, 2]) + truth).std()
    assert spread == pytest.approx(3.3 * np.sqrt(20), rel=0.03)


def test_efficiencies_rise_to_their_plateau() -> None:
    r = Response()
    pt = np.array([2.0, 5.0, 40.0])
    assert detector.electron_efficiency(pt, np.zeros(3), r) == pytest.approx([0.15, 0.475, 0.95], abs=0.01)
    assert detector.electron_efficiency(pt[2:], np.array([2.0]), r)[0] == pytest.approx(0.85)
    assert detector.muon_efficiency(pt, r)[2] == pytest.approx(0.95)


def test_misidentified_jets_stand_for_their_probability(rng: np.random.Generator) -> None:
    r = dataclasses.replace(PERFECT, electron_misidentification=2e-4, muon_misidentification=1e-4)
    batch = batch_of(*(event((211, 60.0, 1.0, 0.0), (211, 60.0, -1.0, 3.0)) for _ in range(4000)))
    passed, chance = reconstruct_misidentified(batch, NOTHING, r, rng, copies=2, candidates=4)
    # Two jets of 3e-4 each per event, all of them over the threshold.
    assert len(passed.group) * chance / 4000 == pytest.approx(2 * 3e-4, rel=0.05)
    assert np.bincount(passed.group).max() == 2
    objects = passed.objects
    electron, muon = objects[:, 1, 0] > 0, objects[:, 5, 0] > 0
    assert (electron ^ muon).all()
    assert muon.mean() == pytest.approx(1 / 3, abs=0.04)
    lepton_pt = objects[:, (1, 5), 0].max(axis=1)
    assert (lepton_pt <= 60.0 + 1e-3).all() and (lepton_pt > 60.0 / 1.45 - 1e-3).all()
    assert ((objects[:, 9:, 0] > 0).sum(axis=1) == 1).all()


def test_phi_is_folded() -> None:
    assert wrap_phi(np.array([np.pi, -np.pi, 3 * np.pi / 2])) == pytest.approx([-np.pi, -np.pi, -np.pi / 2])
