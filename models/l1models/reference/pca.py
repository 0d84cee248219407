"""Principal components: the squared distance of an event from the subspace that holds most of the variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models.export.graph import Graph
from l1models.reference import features
from l1models.reference.reference import Codes


@dataclass(frozen=True)
class Pca:
    """``components`` (57, n), orthonormal columns in the space of standardised features."""

    standard: features.Standard
    components: NDArray[np.float64]
    meaning: str = "mean squared distance of the standardised features from the principal subspace; >= 0, no unit"

    @property
    def parameters(self) -> int:
        """Components, means and spreads."""
        return int(self.components.size + 2 * len(self.components))

    @classmethod
    def fit(cls, background: Codes, count: int) -> Pca:
        """The ``count`` leading components of background codes (N, 57)."""
        standard = features.Standard.fit(background)
        values = standard.values(background).astype(np.float64)
        _, vectors = np.linalg.eigh(values.T @ values / len(values))
        return cls(standard, vectors[:, ::-1][:, :count])

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """In double precision."""
        values = self.standard.values(codes).astype(np.float64)
        rest = values - values @ self.components @ self.components.T
        return (rest**2).mean(axis=1).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """One layer and a sum of squares."""
        width = len(self.components)
        outside = np.eye(width) - self.components @ self.components.T
        rest = graph.linear(features.write(graph), *self.standard.first_layer(outside, np.zeros(width)))
        return graph.weighted_sum(graph.add("Mul", rest, rest), np.full(width, 1 / width))

    def describe(self) -> dict[str, Any]:
        """Number of components."""
        count = self.components.shape[1]
        return {"type": "pca", "components": count, "description": f"The distance from {count} principal components"}
