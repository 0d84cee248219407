"""Chains must sample the density they are given."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from l1models.train.sampling import sample_in_box, sample_on_sphere


def test_box_chains_reach_a_gaussian() -> None:
    width = np.array([0.5, 1.0, 2.0], np.float32)
    bound = jnp.full(3, 50.0)
    points, acceptance = sample_in_box(
        lambda x: jnp.sum((x / width) ** 2, axis=1) / 2,
        jnp.zeros((4000, 3)),
        jax.random.key(1),
        300,
        0.5,
        -bound,
        bound,
    )
    sample = np.asarray(points, np.float64)
    assert 0.6 < float(acceptance) < 0.99
    # 4000 independent chains: the mean is known to 1/63 of the width, the standard deviation to 1/89.
    assert np.abs(sample.mean(axis=0) / width).max() < 5 / 63
    assert np.abs(sample.std(axis=0) / width - 1).max() < 5 / 89


def test_box_chains_stay_inside_and_follow_a_truncated_exponential() -> None:
    low, high = jnp.zeros(1), jnp.ones(1)
    points, _ = sample_in_box(lambda x: 3 * x[:, 0], jnp.full((4000, 1), 0.5), jax.random.key(2), 200, 0.3, low, high)
    sample = np.asarray(points, np.float64)[:, 0]
    expected = 1 / 3 - 1 / (np.exp(3) - 1)
    assert sample.min() >= 0 and sample.max() <= 1
    assert sample.mean() == pytest.approx(expected, abs=5 * sample.std() / 63)


@pytest.mark.parametrize("kappa", [0.0, 2.0, 8.0])
def test_sphere_chains_reach_a_von_mises_fisher_density(kappa: float) -> None:
    """exp(kappa z_1) on the sphere in four dimensions: the mean of z_1 by numerical integration."""
    start = jnp.tile(jnp.array([[0.0, 1.0, 0.0, 0.0]]), (4000, 1))
    points, acceptance = sample_on_sphere(lambda z: -kappa * z[:, 0], start, jax.random.key(3), 300, 0.3)
    sample = np.asarray(points, np.float64)

    def weight(angle: float, power: int) -> float:
        return float(np.cos(angle) ** power * np.exp(kappa * np.cos(angle)) * np.sin(angle) ** 2)

    moments = [
        integrate.quad(weight, 0, np.pi, args=(power,))[0] / integrate.quad(weight, 0, np.pi, args=(0,))[0]
        for power in (1, 2)
    ]
    assert float(acceptance) > 0.8
    assert np.allclose(np.linalg.norm(sample, axis=1), 1, atol=1e-5)
    assert sample[:, 0].mean() == pytest.approx(moments[0], abs=5 * sample[:, 0].std() / 63)
    assert (sample[:, 0] ** 2).mean() == pytest.approx(moments[1], abs=5 * (sample[:, 0] ** 2).std() / 63)
