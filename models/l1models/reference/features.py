"""Standardised features of the default representation, for the yardsticks that are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import NDArray

from l1models.export.graph import Graph
from l1models.reference.reference import Codes
from l1models.train.representation import Representation

_REPRESENTATION = Representation()
_BATCH = 8192
_features = jax.jit(_REPRESENTATION.features)


@dataclass(frozen=True)
class Standard:
    """(feature - ``mean``) / ``spread``, both (57,); features that never vary are left at zero."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(cls, codes: Codes) -> Standard:
        """Moments of the features of codes (N, 57)."""
        values = features(codes).astype(np.float64)
        spread = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(spread > 0, spread, np.inf))

    def values(self, codes: Codes) -> NDArray[np.float32]:
        """Standardised features float32 (N, 57)."""
        return ((features(codes) - self.mean) / self.spread).astype(np.float32)

    def first_layer(
        self, kernel: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A layer on standardised features as one on the graph units of `write`."""
        scaled = kernel / self.spread[:, None]
        return scaled * _REPRESENTATION.scales[:, None], bias - self.mean @ scaled


def features(codes: Codes) -> NDArray[np.float32]:
    """Features float32 (N, 57), worked out in batches of one size: compiled once."""
    padded = np.zeros((-(-len(codes) // _BATCH) * _BATCH, codes.shape[1]), np.int16)
    padded[: len(codes)] = codes
    parts = [np.asarray(_features(part)) for part in padded.reshape(-1, _BATCH, codes.shape[1])]
    return np.concatenate(parts)[: len(codes)]


def write(graph: Graph) -> str:
    """Add the representation to ``graph``; returns the name of its graph units, float32 (57, N)."""
    return _REPRESENTATION.write(graph).units
