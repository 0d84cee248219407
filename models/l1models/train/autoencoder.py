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

from l1models import layout
from l1models.export.graph import Graph
from l1models.train.model import Params
from l1models.train.representation import FEATURES, ErrorWeights, Representation

# Added to the squared length of the latent vector: finite for a vector of zeros, invisible otherwise.
_LENGTH_FLOOR = 1e-6
# Energies of objects that are there begin at softplus(-4) / 57 = 3e-4, small against the error of an event.
_PRESENCE_START = -4.0


@dataclass(frozen=True)
class Autoencoder:
    """Features -> ``hidden`` -> ``latent`` on the sphere -> ``hidden`` mirrored -> features, with ReLU between.

    With ``trained_energy`` the score has parameters of its own: a factor between e^-2 and e^2 on each feature's
    weight in the error, and for each object that is there a term >= 0 (the energy of how many objects there are).
    Folded into matrix products they cost the graph next to nothing. Minimising the score itself would only make
    them vanish, so they stay as they are while a reconstruction is trained, and move when the score is trained as
    an energy. ``per_object``: the error is multiplied by 19 over the number of objects, MET among them: a mean over
    the objects there are rather than over all slots.
    """

    hidden: tuple[int, ...]
    latent: int
    representation: Representation = field(default_factory=Representation)
    error_weights: ErrorWeights = field(default_factory=ErrorWeights)
    trained_energy: bool = False
    per_object: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Units per layer from input to output."""
        width = self.representation.width
        return (width, *self.hidden, self.latent, *reversed(self.hidden), width)

    @property
    def meaning(self) -> str:
        """What the score is."""
        error = "weighted mean squared error of the reconstruction"
        if self.per_object:
            error += " per object that is there"
        return f"{error} with trained weights, plus an energy per object" if self.trained_energy else error

    def initialise(self, key: jax.Array) -> Params:
        """He initialisation, zero biases: a list of (kernel, bias), and those of the energy where they are trained."""
        layers = initialise_layers(key, self.widths)
        return (
            [*layers, (jnp.zeros(self.widths[0]), jnp.full(layout.OBJECTS, _PRESENCE_START))]
            if self.trained_energy
            else layers
        )

    def with_fixed_energy(self, params: Params) -> Params:
        """The parameters with those of the energy held fixed."""
        return [*params[:-1], jax.lax.stop_gradient(params[-1])] if self.trained_energy else params

    def weights(self, params: Params) -> jax.Array:
        """Weights of the squared error, (57,)."""
        column = jnp.asarray(self.error_weights.column(self.representation), jnp.float32)
        return column * jnp.exp(2 * jnp.tanh(params[-1][0] / 2)) if self.trained_energy else column

    def presence_energies(self, params: Params) -> jax.Array:
        """Energy per object that is there, (19,); only with ``trained_energy``."""
        return jax.nn.softplus(params[-1][1]) / FEATURES

    def encode(self, params: Params, features: jax.Array) -> jax.Array:
        """Points on the unit sphere, (N, latent)."""
        latent = dense(params[: len(self.hidden) + 1], features)
        return latent / jnp.sqrt(jnp.sum(latent**2, axis=1, keepdims=True) + _LENGTH_FLOOR)

    def decode(self, params: Params, latent: jax.Array) -> jax.Array:
        """Features (N, 57) of latent points."""
        return dense(params[len(self.hidden) + 1 : 2 * len(self.hidden) + 2], latent)

    def score(self, params: Params, features: jax.Array) -> jax.Array:
        """Weighted mean squared error of the reconstruction, (N,)."""
        error = self.decode(params, self.encode(params, features)) - features
        score = jnp.dot(error**2, self.weights(params))
        if self.per_object:
            present = self.representation.present(features)[:, 1:]
            score *= layout.OBJECTS / (1 + jnp.dot(present, jnp.ones(layout.OBJECTS - 1)))
        if self.trained_energy:
            score += jnp.dot(self.representation.present(features), self.presence_energies(params))
        return score

    def write(self, graph: Graph, params: Params) -> str:
        """Add the score to ``graph``."""
        return self.write_energy(graph, params)[0]

    def write_energy(self, graph: Graph, params: Params, factor: float = 1.0, offset: float = 0.0) -> tuple[str, str]:
        """Add score x ``factor`` + ``offset``, with the feature scales folded into the first and last layer and the
        weights; names of the result and of the pT codes."""
        layers = [
            (np.asarray(kernel, np.float64), np.asarray(bias, np.float64))
            for kernel, bias in params[: len(self.widths) - 1]
        ]
        scales = self.representation.scales
        layers[0] = (layers[0][0] * scales[:, None], layers[0][1])
        layers[-1] = (layers[-1][0] / scales, layers[-1][1] / scales)
        units, pt_codes = self.representation.write(graph)
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
        weights = np.asarray(self.weights(params), np.float64)
        score = graph.weighted_sum(graph.add("Mul", error, error), weights * scales**2 * factor)
        present = ""
        if self.trained_energy or self.per_object:
            present = graph.add("Clip", pt_codes, graph.constant(0.0), graph.constant(1.0))
        if self.per_object:
            objects = graph.weighted_sum(present, np.r_[0.0, np.ones(layout.OBJECTS - 1)] / layout.OBJECTS)
            score = graph.add("Div", score, graph.add("Add", objects, graph.constant(1 / layout.OBJECTS)))
        if self.trained_energy:
            energies = np.asarray(self.presence_energies(params), np.float64)
            of_objects = graph.linear(present, energies[:, None] * factor, [offset] if offset else None)
            score = graph.add("Add", score, of_objects)
        elif offset:
            score = graph.add("Add", score, graph.constant(offset))
        return score, pt_codes

    def describe(self) -> dict[str, Any]:
        """Layer widths, activation and latent space."""
        return {"type": "dense autoencoder", "widths": list(self.widths), "activation": "relu", "latent": "unit sphere"}


def initialise_layers(key: jax.Array, widths: tuple[int, ...]) -> Params:
    """Dense layers from He initialisation with zero biases: a list of (kernel, bias)."""
    keys = jax.random.split(key, len(widths) - 1)
    return [
        (jax.random.normal(k, (a, b)) * jnp.sqrt(2.0 / a), jnp.zeros(b))
        for k, a, b in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def dense(layers: Params, values: jax.Array) -> jax.Array:
    """Dense layers with ReLU between."""
    for kernel, bias in layers[:-1]:
        values = jax.nn.relu(values @ kernel + bias)
    kernel, bias = layers[-1]
    return jnp.add(jnp.dot(values, kernel), bias)
