"""The normalizing flow: volumes, marginal tables, a density that is known, seeds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from l1models import layout
from l1models.reference import flow
from l1models.reference.marginals import ETA_CODES, Marginals
from l1models.train.representation import FEATURES
from tests.conftest import random_events


def codes_of(objects: np.ndarray) -> np.ndarray:
    return layout.to_codes(objects).reshape(-1, FEATURES)


def altered(params: flow.Params) -> flow.Params:
    """Weights away from the identity that couplings begin as."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    return jax.tree.unflatten(
        tree, [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    )


def test_couplings_know_their_volumes_and_leave_absent_objects_alone() -> None:
    params, masks = altered(flow.initialise(jax.random.key(1))), flow.draw_masks(1)
    present = jnp.zeros((1, layout.OBJECTS)).at[0, jnp.array([0, 1, 5, 9, 10])].set(1)
    there = np.flatnonzero(np.asarray(flow.coordinates(present))[0])
    assert len(there) == 1 + 3 * 4
    start = jnp.zeros(FEATURES).at[there].set(jax.random.normal(jax.random.key(2), (len(there),)))

    def moved(values: jax.Array) -> jax.Array:
        return flow.transform(params, masks, start.at[there].set(values)[None], present)[0][0]

    end, stretched = flow.transform(params, masks, start[None], present)
    jacobian = jax.jacfwd(moved)(start[there])
    sign, log_volume = np.linalg.slogdet(np.asarray(jacobian, np.float64)[there])
    assert sign != 0 and abs(log_volume) > 0.1
    assert float(stretched[0]) == pytest.approx(log_volume, abs=1e-3)
    assert (np.delete(np.asarray(end)[0], there) == 0).all()


def test_marginal_tables_hold_probability_densities() -> None:
    codes = codes_of(random_events(40_000, 3))
    tables = Marginals.fit(codes)
    hardness = 0.5 / (10 + 0.5 * np.arange(layout.PT_CODE_MAX + 1))
    for slot in (1, 5, 9, 10, 11):
        lowest = codes[codes[:, slot] > 0, slot].min()
        density = np.exp(-tables.level[slot, lowest:] + tables.pt_gain[slot, lowest:])
        assert np.sum(density * hardness[lowest:]) == pytest.approx(1, abs=0.02)
        # Where nothing ever was it falls to nothing.
        assert tables.pt_gain[slot, lowest // 2] < tables.pt_gain[slot, lowest] - 10
    for slot in (1, 9):
        density = np.exp(-(tables.eta[slot] ** 2) / 2 + tables.eta_gain[slot]) / np.sqrt(2 * np.pi)
        assert np.sum(density) * layout.ETA_LSB == pytest.approx(1, abs=0.02)
    pt, eta, _ = codes.reshape(-1, 3, layout.OBJECTS).transpose(1, 0, 2)
    there = pt[:, 9] > 0
    # E of the jets is exponential, the others are Gaussian.
    assert np.mean(tables.level[9, pt[there, 9]]) == pytest.approx(1, abs=0.05)
    gaussian = tables.eta[9, eta[there, 9] + ETA_CODES // 2], tables.level[0, pt[:, 0]]
    for values in gaussian:
        assert np.mean(values) == pytest.approx(0, abs=0.05)
        assert np.std(values) == pytest.approx(1, abs=0.05)


def correlated(count: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Events of MET and one electron back to back, of equal hardness but for 10 %; their true log density."""
    rng = np.random.default_rng(seed)
    base, unlike, eta, turn = rng.normal(size=(4, count))
    met, electron = 1.5 + 0.2 * base, 1.5 + 0.2 * base + 0.05 * unlike
    objects = np.zeros((count, layout.OBJECTS, 4), np.float32)
    objects[:, 0, 0], objects[:, 1, 0] = 10 * np.expm1(met), 10 * np.expm1(electron)
    objects[:, 0, 2] = rng.uniform(-np.pi, np.pi, count)
    objects[:, 1, 1] = 0.8 * eta
    phi = objects[:, 0, 2] + np.pi + 0.2 * turn
    objects[:, 1, 2] = (phi + np.pi) % (2 * np.pi) - np.pi
    squares = base**2 + unlike**2 + eta**2 + turn**2
    return codes_of(objects), -squares / 2 - 2 * np.log(2 * np.pi) - np.log(0.2 * 0.05 * 0.8 * 0.2)


def test_a_known_density_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "BATCH", 256)
    background, _ = correlated(50_000, 1)
    codes, truth = correlated(5000, 2)
    found = flow.SHIFT - flow.Flow.fit(background, 400, 1).score(codes).astype(np.float64)
    # Gains of a flow that has learned nothing but the marginals: about 3 nats less.
    assert np.mean(truth - found) == pytest.approx(0, abs=0.25)
    assert np.corrcoef(truth, found)[0, 1] > 0.9


def test_the_same_seed_gives_the_same_flow() -> None:
    codes = codes_of(random_events(20_000, 1))
    first, again, other = (flow.Flow.fit(codes, 4, seed).score(codes[:500]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_how_many_objects_there_are_has_a_probability_even_where_never_seen() -> None:
    codes = codes_of(random_events(20_000, 1))
    numbers = np.exp(-flow.Flow.fit(codes, 1, 1).counts).reshape(5, 5, 11)
    assert numbers.sum() == pytest.approx(1, abs=1e-6)
    lone_electron = (codes[:, 1] > 0) & (codes[:, 9] == 0)
    assert numbers[1, 0, 0] == pytest.approx(np.mean(lone_electron), rel=0.01)
    assert 0 < numbers[3, 3, 0] < 1e-6
