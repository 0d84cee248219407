"""Chains on the unit sphere of an autoencoder's latent space: q(z) ~ exp(-E(g(z)) / T), begun at encoded background."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from l1models.train.autoencoder import Autoencoder
from l1models.train.model import Params
from l1models.train.sampling import sample_on_sphere

# Change of the logarithm of a step length per training step and unit of acceptance.
_ADAPTATION = 0.02


def begun(model: Autoencoder, params: Params, features: jax.Array, key: jax.Array, chains: int) -> jax.Array:
    """Points (chains, latent) at events drawn from background ``features`` (N, 57)."""
    return model.encode(params, jax.random.choice(key, features, (chains,)))


def advanced(
    model: Autoencoder,
    params: Params,
    points: jax.Array,
    restart: jax.Array,
    features: jax.Array,
    keys: tuple[jax.Array, jax.Array],
    temperature: jax.Array,
    steps: int,
    sigma: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """``points`` (n, latent) after ``steps`` moves, and the accepted fraction.

    Those marked in ``restart`` (n, 1) begin again first. ``keys``: of the restarts and of the moves; ``sigma``: step
    length, radians; ``params`` must not be differentiated.
    """
    fresh = begun(model, params, features, keys[0], len(points))
    return sample_on_sphere(
        lambda z: model.score(params, model.decode(params, z)) / temperature,
        jnp.where(restart, fresh, points),
        keys[1],
        steps,
        sigma,
    )


def adapted(sigma: jax.Array, acceptance: jax.Array, target: float) -> jax.Array:
    """A step length that follows the curvature of the energy, so that ``target`` of the proposals are accepted."""
    return sigma * jnp.exp(_ADAPTATION * (acceptance - target))
