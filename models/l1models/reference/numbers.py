"""How rare an event's numbers of objects are: what `train.multiplicity` adds to an energy, without the energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.export.graph import Graph
from l1models.reference.reference import Codes
from l1models.train import multiplicity


@dataclass(frozen=True)
class Numbers:
    """``form`` (19, 19) and ``constant``: -log p of the numbers as a quadratic form of which objects are there."""

    form: NDArray[np.float32]
    constant: np.float32
    meaning: str = "-log p of the numbers of electrons and muons and of the number of jets, nats"

    @classmethod
    def fit(cls, background: Codes) -> Numbers:
        """Counted in background codes (N, 57)."""
        form, constant = multiplicity.count(background)
        return cls(form.astype(np.float32), np.float32(constant))

    @property
    def parameters(self) -> int:
        """Table entries of pairs of lepton numbers, and of jet numbers."""
        return 5 * 5 + 11

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """Nats."""
        present = (codes[:, : layout.OBJECTS] > 0).astype(np.float64)
        return (np.sum((present @ self.form) * present, axis=1) + float(self.constant)).astype(np.float32)

    def write(self, graph: Graph) -> str:
        """Presences from clipped pT codes, and the form."""
        columns = np.zeros((3 * layout.OBJECTS, layout.OBJECTS))
        columns[: layout.OBJECTS] = np.eye(layout.OBJECTS)
        momenta = graph.linear(graph.add("Cast", graph.codes(), to=1), columns)
        present = graph.add("Clip", momenta, graph.constant(0.0), graph.constant(1.0))
        pairs = graph.add("Mul", graph.linear(present, self.form), present)
        return graph.linear(pairs, np.ones((layout.OBJECTS, 1)), [float(self.constant)])

    def describe(self) -> dict[str, Any]:
        """The count."""
        return {"type": "count", "quantity": "numbers", "description": "Counted numbers of objects, without a network"}
