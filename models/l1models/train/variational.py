"""Variational autoencoders (Kingma and Welling, arXiv:1312.6114), with a normal or a Dirichlet latent space.

The Dirichlet one is a softmax of normal variables whose prior is the Laplace approximation of a symmetric Dirichlet
distribution (Srivastava and Sutton, arXiv:1703.01488; in collider physics Dillon et al., arXiv:2104.08291). One
training serves three scores: the reconstruction error, the Kullback-Leibler term, and the squared latent
mean, which is what AXOL1TL uses (CMS DP-2023/079).

Exponentials are (1 + a / 256)^256, eight squarings: a graph's scores must be the same bits in every row, and the
vectorised and scalar exponentials of ONNX Runtime differ. With it the Kullback-Leibler term stays convex with its
minimum, zero, at a = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from l1models.export.graph import Graph
from l1models.train.autoencoder import dense, initialise_layers
from l1models.train.model import Params
from l1models.train.representation import ErrorWeights, Representation

_SQUARINGS = 8
_LARGEST_EXPONENT = 8.0


@dataclass(frozen=True)
class VariationalAutoencoder:
    """Features -> ``hidden`` -> means and log variances of ``latent`` -> ``hidden`` mirrored -> features, ReLU between.

    ``score``: "error" of the reconstruction from the means, "kl", or "mean-squared", the squared length of the means.
    ``dirichlet``: the parameter of a Dirichlet prior; 0 for a normal one.
    """

    hidden: tuple[int, ...]
    latent: int
    score_kind: Literal["error", "kl", "mean-squared"] = "error"
    dirichlet: float = 0.0
    representation: Representation = field(default_factory=Representation)
    error_weights: ErrorWeights = field(default_factory=ErrorWeights)

    @property
    def prior_variance(self) -> float:
        """Variance of the latent prior; that of a Dirichlet prior a, K: (1 - 1 / K) / a."""
        return (1 - 1 / self.latent) / self.dirichlet if self.dirichlet else 1.0

    @property
    def meaning(self) -> str:
        """What the score is."""
        return {
            "error": "weighted mean squared error of the reconstruction from the latent means",
            "kl": "Kullback-Leibler divergence of the latent posterior from its prior",
            "mean-squared": "squared length of the latent mean",
        }[self.score_kind]

    def initialise(self, key: jax.Array) -> Params:
        """Encoder to means, layer to log variances, decoder."""
        encoder, variance, decoder = jax.random.split(key, 3)
        widths = (self.representation.width, *self.hidden, self.latent)
        kernel, bias = initialise_layers(variance, widths[-2:])[0]
        return [initialise_layers(encoder, widths), (kernel * 0.1, bias), initialise_layers(decoder, widths[::-1])]

    def encode(self, params: Params, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Means and log variances, (N, latent) each."""
        encoder, (kernel, bias), _ = params
        hidden = jax.nn.relu(dense(encoder[:-1], features))
        exponent = jnp.clip(hidden @ kernel + bias, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
        return dense(encoder[-1:], hidden), exponent

    def error(self, params: Params, latent: jax.Array, features: jax.Array) -> jax.Array:
        """Weighted mean squared error of what ``latent`` decodes to, (N,)."""
        if self.dirichlet:
            shares = _exponential(jnp.clip(latent, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))
            latent = shares / jnp.sum(shares, axis=1, keepdims=True)
        difference = dense(params[2], latent) - features
        return jnp.dot(difference**2, self.error_weights.column(self.representation).astype(np.float32))

    def divergence(self, mean: jax.Array, exponent: jax.Array) -> jax.Array:
        """Kullback-Leibler divergence of the posterior from the prior, (N,)."""
        relative = exponent - np.float32(np.log(self.prior_variance))
        spread = jax.nn.relu(_exponential(relative) - relative - 1)
        return jnp.dot(mean**2 * (1 / self.prior_variance) + spread, np.full(self.latent, 0.5, np.float32))

    def sampled_error_and_divergence(
        self, params: Params, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The two terms of the evidence bound, (N,) each, at one latent sample per event."""
        mean, exponent = self.encode(params, features)
        # The variance that the divergence means: prior variance x exp(relative).
        relative = exponent - np.float32(np.log(self.prior_variance))
        deviation = jnp.sqrt(_exponential(relative) * self.prior_variance)
        latent = mean + deviation * jax.random.normal(key, mean.shape)
        return self.error(params, latent, features), self.divergence(mean, exponent)

    def score(self, params: Params, features: jax.Array) -> jax.Array:
        """The score of ``score_kind``, (N,)."""
        mean, exponent = self.encode(params, features)
        if self.score_kind == "kl":
            return self.divergence(mean, exponent)
        if self.score_kind == "mean-squared":
            return jnp.dot(mean**2, np.ones(self.latent, np.float32))
        return self.error(params, mean, features)

    def write(self, graph: Graph, params: Params) -> str:
        """Add the score to ``graph``; what the score does not need is left out."""
        scales = self.representation.scales
        encoder, variance, decoder = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
        units = self.representation.write(graph).units
        encoder[0] = (encoder[0][0] * scales[:, None], encoder[0][1])
        hidden = units
        for kernel, bias in encoder[:-1]:
            hidden = graph.add("Relu", graph.linear(hidden, kernel, bias))
        mean = graph.linear(hidden, *encoder[-1])
        if self.score_kind == "mean-squared":
            return graph.weighted_sum(graph.add("Mul", mean, mean), np.ones(self.latent))
        if self.score_kind == "kl":
            exponent = _write_clip(graph, graph.linear(hidden, *variance))
            relative = graph.add("Sub", exponent, graph.constant(np.log(self.prior_variance)))
            spread = graph.add("Sub", _write_exponential(graph, relative), relative)
            spread = graph.add("Relu", graph.add("Sub", spread, graph.constant(1.0)))
            squared = graph.add("Mul", graph.add("Mul", mean, mean), graph.constant(1 / self.prior_variance))
            return graph.weighted_sum(graph.add("Add", squared, spread), np.full(self.latent, 0.5))
        values = mean
        if self.dirichlet:
            shares = _write_exponential(graph, _write_clip(graph, mean))
            values = graph.add("Div", shares, graph.linear(shares, np.ones((self.latent, self.latent))))
        decoder[-1] = (decoder[-1][0] / scales, decoder[-1][1] / scales)
        for kernel, bias in decoder[:-1]:
            values = graph.add("Relu", graph.linear(values, kernel, bias))
        error = graph.add("Sub", graph.linear(values, *decoder[-1]), units)
        return graph.weighted_sum(
            graph.add("Mul", error, error), self.error_weights.column(self.representation) * scales**2
        )

    def describe(self) -> dict[str, Any]:
        """Layer widths, activation, latent space and score."""
        prior = f"Dirichlet({self.dirichlet:g}), Laplace approximation" if self.dirichlet else "normal"
        width = self.representation.width
        widths = [width, *self.hidden, self.latent, *reversed(self.hidden), width]
        return {
            "type": "variational autoencoder",
            "widths": widths,
            "activation": "relu",
            "latent": f"means and variances, prior {prior}",
            "score": self.score_kind,
        }


def _exponential(exponent: jax.Array) -> jax.Array:
    value = exponent * np.float32(1 / 2**_SQUARINGS) + 1
    for _ in range(_SQUARINGS):
        value = value * value
    return value


def _write_exponential(graph: Graph, exponent: str) -> str:
    value = graph.add("Mul", exponent, graph.constant(1 / 2**_SQUARINGS))
    value = graph.add("Add", value, graph.constant(1.0))
    for _ in range(_SQUARINGS):
        value = graph.add("Mul", value, value)
    return value


def _write_clip(graph: Graph, values: str) -> str:
    return graph.add("Clip", values, graph.constant(-_LARGEST_EXPONENT), graph.constant(_LARGEST_EXPONENT))
