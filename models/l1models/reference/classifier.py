"""A supervised classifier of one signal against the background: what the inputs allow where the signal is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from l1models.export.graph import Graph
from l1models.reference import features
from l1models.reference.reference import Codes
from l1models.train.optimizer import Optimizer

HIDDEN = (128, 64)
BATCH = 1024  # of each class
# Added to the log-likelihood ratio so that scores are positive, as those of every other bundle.
SHIFT = 100.0

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Classifier:
    """57 standardised features -> `HIDDEN` with ReLU -> logarithm of the likelihood ratio."""

    signal: str
    standard: features.Standard
    layers: Layers

    @property
    def meaning(self) -> str:
        """Of the score."""
        return f"{SHIFT:.0f} + estimated log-likelihood ratio of {self.signal} to the background; no unit"

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(kernel.size + bias.size for kernel, bias in self.layers)

    @classmethod
    def fit(cls, signal: str, background: Codes, events: Codes, steps: int, seed: int) -> Classifier:
        """Train on background and signal codes (N, 57); both classes weigh the same."""
        standard = features.Standard.fit(background)
        classes = [jnp.asarray(standard.values(codes)) for codes in (background, events)]
        widths = (classes[0].shape[1], *HIDDEN, 1)
        keys = jax.random.split(jax.random.key(seed), len(widths))
        params = [
            (jax.random.normal(k, (a, b)) * jnp.sqrt(2.0 / a), jnp.zeros(b))
            for k, a, b in zip(keys, widths[:-1], widths[1:], strict=False)
        ]
        optimizer = Optimizer(steps, 2e-3, 1e-5, 1.0, 0.999)

        def loss(params: Any, noise: jax.Array) -> jax.Array:
            rows = [jax.random.randint(k, (BATCH,), 0, len(c)) for k, c in zip(noise, classes, strict=True)]
            logits = [_logit(params, c[r]) for c, r in zip(classes, rows, strict=True)]
            return jnp.mean(jax.nn.softplus(logits[0])) + jnp.mean(jax.nn.softplus(-logits[1]))

        def step(number: jax.Array, state: Any) -> Any:
            params, moments = state
            noise = jax.random.split(jax.random.fold_in(keys[-1], number), 2)
            return optimizer.step(params, jax.grad(loss)(params, noise), moments)

        state = (params, optimizer.start(params))
        _, moments = jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))(state)
        layers = [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in moments.average]
        return cls(signal, standard, layers)

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """As JAX computes them."""
        logits = np.asarray(_logit(self.layers, jnp.asarray(self.standard.values(codes))))
        return np.maximum(logits + np.float32(SHIFT), 0).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """The network, the shift folded into its last bias."""
        layers = [(kernel.astype(np.float64), bias.astype(np.float64)) for kernel, bias in self.layers]
        layers[0] = self.standard.first_layer(*layers[0])
        layers[-1] = (layers[-1][0], layers[-1][1] + SHIFT)
        values = features.write(graph)
        for kernel, bias in layers:
            values = graph.add("Relu", graph.linear(values, kernel, bias))
        return values

    def describe(self) -> dict[str, Any]:
        """Layer widths."""
        widths = [len(self.layers[0][0]), *(len(bias) for _, bias in self.layers)]
        text = f"A supervised classifier of {self.signal}, {' - '.join(map(str, widths))},"
        return {"type": "classifier", "widths": widths, "signal": self.signal, "description": text}


def _logit(params: Any, values: jax.Array) -> jax.Array:
    for kernel, bias in params[:-1]:
        values = jax.nn.relu(values @ kernel + bias)
    kernel, bias = params[-1]
    return (values @ kernel + bias)[:, 0]
