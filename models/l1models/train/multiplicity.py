"""A score that knows how many objects events have: what an autoencoder's energy cannot learn from its chains.

The numbers of electrons, muons and jets of an event are discrete, so their probabilities need no normalising by
chains: they are counted. With E the energy of an autoencoder and E0 its mean over the background,

    score = w 4 ((1 + E / E0)^(1/4) - 1) - log p(electrons, muons) - log p(jets)

in nats: an estimate of -log p(x) up to a constant. The fourth root stands for a logarithm, for the errors of rare
events have long tails: E grows with the square of a residual and says exp(-200) of events that are one in 10^5. It is
built from correctly rounded square roots, which a logarithm in a graph is not (`representation.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.export.graph import Graph
from l1models.train.autoencoder import Autoencoder
from l1models.train.model import Params
from l1models.train.representation import Representation

# Added to the count of every combination, seen or not (Jeffreys' prior).
_PSEUDO_COUNT = 0.5
_SLOTS = (layout.ELECTRONS, layout.MUONS, layout.JETS)


class Counted(NamedTuple):
    """-log p of the numbers of objects as a quadratic form of the presence of the 19 objects, and E0.

    ``form`` (19, 19), ``constant`` (): the value of an event without any; ``reference`` (): E0.
    """

    form: jax.Array
    constant: jax.Array
    reference: jax.Array


@dataclass(frozen=True)
class Multiplicity:
    """``energy_weight``: what a unit of the rooted energy weighs against the numbers of objects."""

    energy_weight: float = 2.0


@dataclass(frozen=True)
class CountingAutoencoder:
    """``energy`` is what is trained; `fit` adds the rest. Parameters: those of ``energy``, and `Counted`."""

    energy: Autoencoder
    multiplicity: Multiplicity

    @property
    def representation(self) -> Representation:
        """That of the energy."""
        return self.energy.representation

    @property
    def meaning(self) -> str:
        """What the score is."""
        return (
            f"estimate of -log p of an event: fourth root of the energy ({self.energy.meaning}) "
            "and logarithms of how rare its numbers of electrons, muons and jets are"
        )

    def initialise(self, key: jax.Array) -> Params:
        """Parameters of the energy; nothing counted."""
        size = layout.OBJECTS
        return (self.energy.initialise(key), Counted(jnp.zeros((size, size)), jnp.zeros(()), jnp.ones(())))

    def fit(self, params: Params, codes: NDArray[np.int16], mean_energy: float) -> Params:
        """Trained parameters of the energy and what is counted in background codes (N, 57)."""
        form, constant = count(codes)
        counted = Counted(jnp.asarray(form, jnp.float32), jnp.float32(constant), jnp.float32(mean_energy))
        return (params, counted)

    def score(self, params: Params, features: jax.Array) -> jax.Array:
        """Scores (N,), >= 0."""
        inner, counted = params
        present = self.representation.present(features)
        numbers = jnp.sum((present @ counted.form) * present, axis=1) + counted.constant
        rooted = jnp.sqrt(jnp.sqrt(self.energy.score(inner, features) / counted.reference + 1))
        return jax.nn.relu(4 * self.multiplicity.energy_weight * (rooted - 1) + numbers)

    def write(self, graph: Graph, params: Params) -> str:
        """Add the score to ``graph``."""
        inner, counted = params
        weight = 4 * self.multiplicity.energy_weight
        # weight (1 + E / E0)^(1/4), the weight taken below the root.
        below = weight**4
        energy, pt_codes = self.energy.write_energy(graph, inner, below / float(counted.reference), below)
        rooted = graph.add("Sqrt", graph.add("Sqrt", energy))
        present = graph.add("Clip", pt_codes, graph.constant(0.0), graph.constant(1.0))
        pairs = graph.add("Mul", graph.linear(present, np.asarray(counted.form)), present)
        numbers = graph.linear(pairs, np.ones((layout.OBJECTS, 1)), [float(counted.constant) - weight])
        return graph.add("Relu", graph.add("Add", rooted, numbers))

    def describe(self) -> dict[str, Any]:
        """The energy's architecture and the weight."""
        return {**self.energy.describe(), "multiplicity": {"energy_weight": self.multiplicity.energy_weight}}


def count(codes: NDArray[np.int16]) -> tuple[NDArray[np.float64], float]:
    """-log p(electrons, muons) - log p(jets) of codes (N, 57) as a form (19, 19) of presences and a constant.

    Slots of a class fill from its first, so the n-th slot is there if and only if there are at least n objects: any
    table over two of the numbers is a sum of its second differences over the pairs of slots that are there.
    """
    present = codes[:, : layout.OBJECTS] > 0
    electrons, muons, jets = (present[:, slots].sum(axis=1) for slots in _SLOTS)
    sizes = [slots.stop - slots.start + 1 for slots in _SLOTS]
    leptons = np.full((sizes[0], sizes[1]), _PSEUDO_COUNT)
    np.add.at(leptons, (electrons, muons), 1)
    others = np.bincount(jets, minlength=sizes[2]) + _PSEUDO_COUNT
    table, line = -np.log(leptons / leptons.sum()), -np.log(others / others.sum())
    form = np.zeros((layout.OBJECTS, layout.OBJECTS))
    form[layout.ELECTRONS, layout.MUONS] = np.diff(np.diff(table, axis=0), axis=1)
    for slots, values in zip(_SLOTS, (table[:, 0], table[0], line), strict=True):
        form[slots, slots] = np.diag(np.diff(values))
    return form, float(table[0, 0] + line[0])
