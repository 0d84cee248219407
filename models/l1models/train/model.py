"""What every model is to the trainer and the exporter."""

from __future__ import annotations

from typing import Any, Protocol

import jax

from l1models.export.graph import Graph
from l1models.train.representation import Representation

# A tree of float32 arrays.
Params = Any


class Model(Protocol):
    """A function from features to one score per event, larger for rarer events, with parameters to be trained."""

    @property
    def representation(self) -> Representation:
        """What the model sees of an event."""

    @property
    def meaning(self) -> str:
        """What the score is, for manifest and card."""

    def initialise(self, key: jax.Array) -> Params:
        """Parameters before training."""

    def score(self, params: Params, features: jax.Array) -> jax.Array:
        """Scores (N,), >= 0, of features (N, 57)."""

    def write(self, graph: Graph, params: Params) -> str:
        """Add representation and score to ``graph``; returns the name of the score, float32 (1, N)."""

    def describe(self) -> dict[str, Any]:
        """Architecture for the manifest."""
