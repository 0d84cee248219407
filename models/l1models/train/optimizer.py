"""Adam (Kingma and Ba, arXiv:1412.6980) with gradient clipping, a cosine schedule and averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from l1models.train.model import Params

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class OptimizerState(NamedTuple):
    """Step count, moments and the exponential moving average of the weights, which is what gets exported."""

    step: jax.Array
    first: Any
    second: Any
    average: Params


@dataclass(frozen=True)
class Optimizer:
    """``learning_rate`` falls along a cosine to ``final_learning_rate`` after ``steps``.

    Gradients are clipped to a global norm of ``clip``.
    """

    steps: int
    learning_rate: float
    final_learning_rate: float
    clip: float
    average_decay: float

    def start(self, params: Params) -> OptimizerState:
        """State before the first step."""
        zeros = jax.tree.map(jnp.zeros_like, params)
        return OptimizerState(jnp.zeros((), jnp.int32), zeros, zeros, params)

    def step(self, params: Params, gradients: Params, state: OptimizerState) -> tuple[Params, OptimizerState]:
        """One update."""
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients)))
        shrink = jnp.minimum(1.0, self.clip / (norm + 1e-12))
        step = state.step + 1
        first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g * shrink, state.first, gradients)
        second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * (g * shrink) ** 2, state.second, gradients)
        progress = jnp.minimum(state.step / self.steps, 1.0)
        rate = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * 0.5 * (
            1 + jnp.cos(jnp.pi * progress)
        )
        correction1, correction2 = 1 - _BETA1**step, 1 - _BETA2**step
        params = jax.tree.map(
            lambda p, m, v: p - rate * (m / correction1) / (jnp.sqrt(v / correction2) + _EPSILON), params, first, second
        )
        # A short memory at first: the average forgets the initial weights.
        decay = jnp.minimum(self.average_decay, step / (step + 10.0))
        average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, params)
        return params, OptimizerState(step, first, second, average)
