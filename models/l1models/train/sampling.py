"""Metropolis-adjusted Langevin chains (Roberts and Tweedie, Bernoulli 2 (1996) 341) in a box and on the unit sphere.

Many chains move at once. Every function takes ``energy``: (N, d) -> (N,), samples the density
proportional to exp(-energy), and returns the new points and the accepted fraction of proposals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Energy = Callable[[jax.Array], jax.Array]


def _energy_and_gradient(energy: Energy) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    def both(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        values, pull = jax.vjp(energy, points)
        return values, pull(jnp.ones_like(values))[0]

    return both


def _run(start: Any, step: Callable[[Any, jax.Array], tuple[Any, jax.Array]], key: jax.Array, steps: int) -> Any:
    end, accepted = jax.lax.scan(step, start, jax.random.split(key, steps))
    return end[0], jnp.mean(accepted)


def sample_in_box(
    energy: Energy,
    points: jax.Array,
    key: jax.Array,
    steps: int,
    sigma: jax.Array | float,
    low: jax.Array,
    high: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Chains in R^d that never leave ``low`` <= x <= ``high``, where the density ends. ``sigma``: noise per step."""
    evaluate = _energy_and_gradient(energy)

    def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        x, value, gradient = state
        noise_key, accept_key = jax.random.split(key)
        drift = -0.5 * sigma**2 * gradient
        noise = sigma * jax.random.normal(noise_key, x.shape)
        proposal = x + drift + noise
        new_value, new_gradient = evaluate(proposal)
        back = x - proposal + 0.5 * sigma**2 * new_gradient
        log_ratio = value - new_value + (jnp.sum(noise**2, 1) - jnp.sum(back**2, 1)) / (2 * sigma**2)
        inside = jnp.all((proposal >= low) & (proposal <= high), axis=1)
        accepted = inside & (jnp.log(jax.random.uniform(accept_key, value.shape)) < log_ratio)
        return _choose(accepted, (proposal, new_value, new_gradient), state), jnp.mean(accepted)

    return _run((points, *evaluate(points)), step, key, steps)


def sample_on_sphere(
    energy: Energy, points: jax.Array, key: jax.Array, steps: int, sigma: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """Chains on the unit sphere in R^d: a Langevin step in the tangent plane, projected back along the radius.

    The projection maps the tangent plane to the sphere with a Jacobian that depends only on the angle between
    the two points, so it cancels in the Metropolis ratio and the chain is exact. ``sigma``: noise in radians.
    """
    evaluate = _energy_and_gradient(energy)

    def tangent(z: jax.Array, vector: jax.Array) -> jax.Array:
        return vector - jnp.sum(vector * z, axis=1, keepdims=True) * z

    def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        z, value, gradient = state
        noise_key, accept_key = jax.random.split(key)
        drift = -0.5 * sigma**2 * tangent(z, gradient)
        noise = sigma * tangent(z, jax.random.normal(noise_key, z.shape))
        moved = z + drift + noise
        proposal = moved / jnp.linalg.norm(moved, axis=1, keepdims=True)
        new_value, new_gradient = evaluate(proposal)
        cosine = jnp.sum(z * proposal, axis=1, keepdims=True)
        back = z / cosine - proposal + 0.5 * sigma**2 * tangent(proposal, new_gradient)
        log_ratio = value - new_value + (jnp.sum(noise**2, 1) - jnp.sum(back**2, 1)) / (2 * sigma**2)
        accepted = jnp.log(jax.random.uniform(accept_key, value.shape)) < log_ratio
        return _choose(accepted, (proposal, new_value, new_gradient), state), jnp.mean(accepted)

    return _run((points, *evaluate(points)), step, key, steps)


def _choose(accepted: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(accepted.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), new, old)
