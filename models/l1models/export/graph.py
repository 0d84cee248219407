"""A small writer of ONNX graphs whose bytes depend on nothing but what is written.

Inside a graph an event is a column: values are (features, N). A row then holds one feature of all events, so that parts
of the features are split, joined and shifted as whole blocks of memory, where rows of 19 numbers each would be handled
one by one. For the small model that is a quarter of the time of an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8
INPUT = "events"
OUTPUT = "score"

# ONNX Runtime adds a product over more terms in blocks whose length depends on the number of events.
_MOST_TERMS = 128


class Graph:
    """Collects nodes and constants in the order written; value names are operator and running number.

    The one input is ``events`` (int16, (N, width)); ``finish`` names the one output ``score`` (float32, (N,)).
    """

    def __init__(self, input_width: int) -> None:
        self.input_width = input_width
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._matrix_products = 0
        self._codes = ""

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        """Add a constant tensor and return its name."""
        array: NDArray[np.generic] = np.ascontiguousarray(np.asarray(values, dtype=dtype))
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def for_rows(self, values: ArrayLike) -> str:
        """A constant for each row: (features, 1)."""
        return self.constant(np.reshape(values, (-1, 1)))

    def codes(self) -> str:
        """The input as (width, N), int16."""
        if not self._codes:
            self._codes = self.add("Transpose", INPUT, perm=[1, 0])
        return self._codes

    def split(self, values: str, sizes: Sequence[int]) -> list[str]:
        """As many rows each."""
        return self.add_many("Split", [values, self.constant(sizes, np.int64)], len(sizes), axis=0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        stem = f"{operator.lower()}_{len(self._nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def linear(self, values: str, kernel: ArrayLike, bias: ArrayLike | None = None) -> str:
        """A layer: kernel.T @ values + bias; ``kernel`` (inputs, outputs), ``bias`` (outputs,)."""
        weights = np.asarray(kernel).T
        inputs = weights.shape[1]
        self._matrix_products += weights.size
        if inputs <= _MOST_TERMS:
            return self._product(weights, values, None if bias is None else self.for_rows(bias))
        # In order, each part added to what the one before it gave.
        ends = [*range(_MOST_TERMS, inputs, _MOST_TERMS), inputs]
        total = None if bias is None else self.for_rows(bias)
        starts = [0, *ends[:-1]]
        parts = self.split(values, [end - start for start, end in zip(starts, ends, strict=True)])
        for part, start, end in zip(parts, starts, ends, strict=True):
            total = self._product(weights[:, start:end], part, total)
        assert total is not None
        return total

    def _product(self, weights: NDArray[Any], values: str, added: str | None) -> str:
        # A product with a single column takes another kernel of ONNX Runtime, which adds in another order, unless it
        # has a factor. One with a single row always takes the same one.
        factor = 1.0 if len(weights) == 1 else -1.0
        inputs = [self.constant(weights * factor), values, *([] if added is None else [added])]
        return self.add("Gemm", *inputs, **({} if factor == 1.0 else {"alpha": factor}))

    def row(self, values: str, index: int) -> str:
        """One row of ``values`` as (1, N)."""
        bounds = [self.constant([number], np.int64) for number in (index, index + 1, 0)]
        return self.add("Slice", values, *bounds)

    def look_up(self, table: ArrayLike, codes: str, first: ArrayLike) -> str:
        """Entries of a flat ``table`` at whole numbers ``codes`` (float32) + ``first``, of all or of each row."""
        places = self.add("Cast", self.add("Add", codes, self.for_rows(first)), to=7)
        return self.add("Gather", self.constant(np.asarray(table).reshape(-1)), places, axis=0)

    @property
    def flop_per_event(self) -> int:
        """Twice the multiply-adds of every matrix product in the graph, the score's included; nothing elementwise."""
        return 2 * self._matrix_products

    def weighted_sum(self, values: str, weights: ArrayLike) -> str:
        """Sum over rows as a matrix product with a row of weights, (1, N).

        ONNX Runtime's axis reductions round differently from event to event; a matrix product does not.
        """
        return self.linear(values, np.reshape(weights, (-1, 1)))

    def finish(self, score: str, name: str, producer_version: str) -> bytes:
        """Make ``score`` (1, N) the output and return the checked model's bytes."""
        nodes = [*self._nodes, helper.make_node("Reshape", [score, self.constant([-1], np.int64)], [OUTPUT])]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(INPUT, TensorProto.INT16, ["N", self.input_width])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N"])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="l1models",
            producer_version=producer_version,
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
