"""Dense autoencoder with a latent space on the unit sphere; the score is the weighted squared error.

The spherical latent space follows the normalized autoencoder (Yoon et al., arXiv:2105.05735), which needs a
compact one; the plain autoencoder shares it so that the two differ in nothing but how they were trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from l1models.export.graph import Graph
from l1models.train.model import Params
from l1models.train.representation import FEATURES, ErrorWeights, Representation

# Added to the squared length of the latent vector: finite for a vector of zeros, invisible otherwise.
_LENGTH_FLOOR = 1e-6


@dataclass(frozen=True)
class Autoencoder:
    """57 features -> ``hidden`` -> ``latent`` on the sphere -> ``hidden`` mirrored -> 57, with ReLU between."""

    hidden: tuple[int, ...]
    latent: int
    representation: Representation = field(default_factory=Representation)
    error_weights: ErrorWeights = field(default_factory=ErrorWeights)

    @property
    def widths(self) -> tuple[int, ...]:
        """Units per layer from input to output."""
        return (FEATURES, *self.hidden, self.latent, *reversed(self.hidden), FEATURES)

    def initialise(self, key: jax.Array) -> Params:
        """He initialisation, zero biases: a list of (kernel, bias)."""
        widths = self.widths
        keys = jax.random.split(key, len(widths) - 1)
        return [
            (jax.random.normal(k, (a, b)) * jnp.sqrt(2.0 / a), jnp.zeros(b))
            for k, a, b in zip(keys, widths[:-1], widths[1:], strict=True)
        ]

    def encode(self, params: Params, features: jax.Array) -> jax.Array:
        """Points on the unit sphere, (N, latent)."""
        latent = _dense(params[: len(self.hidden) + 1], features)
        return latent / jnp.sqrt(jnp.sum(latent**2, axis=1, keepdims=True) + _LENGTH_FLOOR)

    def decode(self, params: Params, latent: jax.Array) -> jax.Array:
        """Features (N, 57) of latent points."""
        return _dense(params[len(self.hidden) + 1 :], latent)

    def score(self, params: Params, features: jax.Array) -> jax.Array:
        """Weighted mean squared error of the reconstruction, (N,)."""
        error = self.decode(params, self.encode(params, features)) - features
        return jnp.dot(error**2, self.error_weights.column().astype(np.float32))

    def write(self, graph: Graph, params: Params) -> str:
        """Add the score to ``graph``, with the feature scales folded into the first and last layer and the weights."""
        layers = [(np.asarray(kernel, np.float64), np.asarray(bias, np.float64)) for kernel, bias in params]
        scales = self.representation.scales
        layers[0] = (layers[0][0] * scales[:, None], layers[0][1])
        layers[-1] = (layers[-1][0] / scales, layers[-1][1] / scales)
        units = self.representation.write(graph)
        values = units
        for number, (kernel, bias) in enumerate(layers):
            values = graph.linear(values, kernel, bias)
            if number == len(self.hidden):
                # The product with ones gives every latent unit the squared length without a reduction.
                ones, floor = np.ones((self.latent, self.latent)), np.full(self.latent, _LENGTH_FLOOR)
                squared = graph.linear(graph.add("Mul", values, values), ones, floor)
                values = graph.add("Div", values, graph.add("Sqrt", squared))
            elif number < len(layers) - 1:
                values = graph.add("Relu", values)
        error = graph.add("Sub", values, units)
        return graph.weighted_sum(graph.add("Mul", error, error), self.error_weights.column() * scales**2)

    def describe(self) -> dict[str, Any]:
        """Layer widths, activation and latent space."""
        return {"type": "dense autoencoder", "widths": list(self.widths), "activation": "relu", "latent": "unit sphere"}


def _dense(layers: Params, values: jax.Array) -> jax.Array:
    for kernel, bias in layers[:-1]:
        values = jax.nn.relu(values @ kernel + bias)
    kernel, bias = layers[-1]
    return jnp.add(jnp.dot(values, kernel), bias)
