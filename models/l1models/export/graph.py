"""A small writer of ONNX graphs whose bytes depend on nothing but what is written."""

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


class Graph:
    """Collects nodes and constants in the order written; value names are operator and running number.

    The one input is ``events`` (int16, (N, width)); ``finish`` names the one output ``score`` (float32, (N,)).
    """

    def __init__(self, input_width: int) -> None:
        self.input_width = input_width
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._matrix_products = 0
        self._shapes: dict[str, tuple[int, ...]] = {}

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        """Add a constant tensor and return its name."""
        array: NDArray[np.generic] = np.ascontiguousarray(np.asarray(values, dtype=dtype))
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        self._shapes[name] = array.shape
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.add_many(operator, inputs, 1, **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        stem = f"{operator.lower()}_{len(self._nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        if operator in ("MatMul", "Gemm"):
            rows, columns = self._shapes[inputs[1]]
            self._matrix_products += rows * columns
        return names

    def linear(self, values: str, kernel: ArrayLike, bias: ArrayLike) -> str:
        """values @ kernel + bias."""
        return self.add("Gemm", values, self.constant(kernel), self.constant(bias))

    def column(self, values: str, index: int) -> str:
        """One column of ``values`` as (N, 1)."""
        bounds = [self.constant([number], np.int64) for number in (index, index + 1, 1)]
        return self.add("Slice", values, *bounds)

    def look_up(self, table: ArrayLike, codes: str, first: ArrayLike) -> str:
        """Entries of a flat ``table`` at whole numbers ``codes`` (float32) + ``first``."""
        places = self.add("Cast", self.add("Add", codes, self.constant(first)), to=7)
        return self.add("Gather", self.constant(np.asarray(table).reshape(-1)), places, axis=0)

    @property
    def flop_per_event(self) -> int:
        """Twice the multiply-adds of every matrix product in the graph, the score's included; nothing elementwise."""
        return 2 * self._matrix_products

    def weighted_sum(self, values: str, weights: ArrayLike) -> str:
        """Sum over columns as a matrix product with a column of weights, (N, 1).

        ONNX Runtime's axis reductions round differently from row to row; a matrix product does not.
        """
        return self.add("MatMul", values, self.constant(np.asarray(weights).reshape(-1, 1)))

    def finish(self, score: str, name: str, producer_version: str) -> bytes:
        """Make ``score`` (N, 1) the output and return the checked model's bytes."""
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
