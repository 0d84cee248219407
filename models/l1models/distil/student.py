"""A student: a network of one hidden layer that estimates a teacher's score, where that is high.

It sees how hard each object is and which are there, none of the angles, and costs 1.2 kFLOP. That is enough to say what
a teacher surely rejects: what lies far in its tail has hard objects, or unusually many.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.export.graph import INPUT, Graph
from l1models.train.autoencoder import dense, initialise_layers
from l1models.train.optimizer import Optimizer
from l1models.train.representation import PT_SCALE

HIDDEN = 16
BATCH = 1024
LEARNING_RATE, FINAL_LEARNING_RATE = 5e-3, 1e-5
# Of a batch, the first part is drawn from all events, the others from those above these quantiles of the teacher's
# score: what it must get right is rare.
_PARTS = ((0.5, 0.0), (0.25, 0.9), (0.25, 0.99))
# The quantile around which the student estimates, and how many standard deviations beneath it is all the same.
_CENTRE, _FLOOR = 0.99, 1.0
_SCALE_CODES = np.float32(PT_SCALE / layout.PT_LSB)
_CHUNK_STEPS = 50

Codes = NDArray[np.int16]
Scores = NDArray[np.float32]


class Student(NamedTuple):
    """Layers (kernel, bias) of 38 -> `HIDDEN` -> 1; score = centre + spread x their output, at least 0."""

    layers: Any
    centre: float
    spread: float

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.layers))

    def score(self, codes: Codes) -> Scores:
        """Scores (N,) of codes (N, 57), without the graph."""
        return np.asarray(_score(self, jnp.asarray(codes)))

    def write(self, graph: Graph) -> str:
        """Add the score to ``graph``, scales folded into the layers; returns its name, float32 (1, N)."""
        (kernel, bias), (last, last_bias) = (
            (np.asarray(kernel, np.float64), np.asarray(bias, np.float64)) for kernel, bias in self.layers
        )
        hard, there = kernel[: layout.OBJECTS], kernel[layout.OBJECTS :]
        # The other two thirds of the codes are not even turned into columns.
        bounds = [graph.constant([number], np.int64) for number in (0, layout.OBJECTS, 1)]
        pt = graph.add("Cast", graph.add("Transpose", graph.add("Slice", INPUT, *bounds), perm=[1, 0]), to=1)
        root = graph.add("Sqrt", graph.add("Sqrt", graph.add("Add", pt, graph.constant(_SCALE_CODES))))
        present = graph.add("Clip", pt, graph.constant(0.0), graph.constant(1.0))
        # A root of the scaled ratio is that of the sum over that of the scale; the 1 taken off goes into the bias.
        folded = np.concatenate([4 * hard / float(_SCALE_CODES) ** 0.25, there])
        hidden = graph.linear(graph.add("Concat", root, present, axis=0), folded, bias - 4 * hard.sum(axis=0))
        score = graph.linear(graph.add("Relu", hidden), last * self.spread, last_bias * self.spread + self.centre)
        return graph.add("Relu", score)

    def describe(self) -> dict[str, Any]:
        """Architecture for the manifest; ``description`` begins the card."""
        return {
            "type": "student",
            "description": "Student of a teacher (distillation, arXiv:1503.02531) with one hidden layer",
            "widths": [2 * layout.OBJECTS, HIDDEN, 1],
            "activation": "relu",
        }


def features(codes: jax.Array) -> jax.Array:
    """What a student sees of codes (N, 57): the fourth root of each pT, and whether the object is there; (N, 38)."""
    pt = codes[:, : layout.OBJECTS].astype(jnp.float32)
    root = jnp.sqrt(jnp.sqrt((pt + _SCALE_CODES) / _SCALE_CODES))
    return jnp.concatenate([4 * (root - 1), jnp.clip(pt, 0, 1)], axis=1)


@jax.jit
def _score(student: Student, codes: jax.Array) -> jax.Array:
    return jax.nn.relu(student.centre + student.spread * dense(student.layers, features(codes))[:, 0])


def train(codes: Codes, teacher: Scores, steps: int, seed: int) -> Student:
    """A student of the teacher's scores (N,) of background codes (N, 57): least squares, rare events drawn more often.

    The same seed gives the same student.
    """
    centre, spread = float(np.quantile(teacher, _CENTRE)), float(np.std(teacher))
    targets = np.maximum((teacher - centre) / spread, -_FLOOR).astype(np.float32)
    pools = [np.flatnonzero(teacher >= np.quantile(teacher, above)) for _, above in _PARTS]
    optimizer = Optimizer(steps, LEARNING_RATE, FINAL_LEARNING_RATE, clip=1.0, average_decay=0.999)
    layers = initialise_layers(jax.random.key(seed), (2 * layout.OBJECTS, HIDDEN, 1))

    def loss(layers: Any, events: jax.Array, expected: jax.Array) -> jax.Array:
        return jnp.mean((dense(layers, features(events))[:, 0] - expected) ** 2)

    def step(carry: Any, batch: Any) -> Any:
        layers, state = carry
        return optimizer.step(layers, jax.grad(loss)(layers, *batch), state), None

    carry = (layers, optimizer.start(layers))
    chunk = jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches)[0])
    rng = np.random.default_rng(seed)
    for first in range(0, steps, _CHUNK_STEPS):
        rows = min(_CHUNK_STEPS, steps - first)
        drawn = [rng.choice(pool, (rows, int(part * BATCH))) for (part, _), pool in zip(_PARTS, pools, strict=True)]
        chosen = np.concatenate(drawn, axis=1)
        carry = chunk(carry, (codes[chosen], targets[chosen]))
    return Student(carry[1].average, centre, spread)
