"""What every yardstick is to the verb that writes its bundle."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l1models.export.graph import Graph

Codes = NDArray[np.int16]


class Reference(Protocol):
    """A fixed function from an event to a score, larger for what it selects."""

    @property
    def meaning(self) -> str:
        """What the score is, with its unit."""

    @property
    def parameters(self) -> int:
        """Numbers that were fitted."""

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """Scores (N,) of codes (N, 57), worked out without the graph."""

    def write(self, graph: Graph) -> str:
        """Add the score to ``graph``; returns its name, float32 (N, 1)."""

    def describe(self) -> dict[str, Any]:
        """Architecture for the manifest; ``description`` begins the card."""
