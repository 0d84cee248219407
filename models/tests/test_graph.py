"""Products in a graph: what they compute, and that it is the same bits in every batch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from l1models.export.graph import INPUT, OUTPUT, Graph


@pytest.mark.parametrize("inputs", [12, 128, 129, 300])
def test_a_layer_is_the_product_and_the_same_bits_in_every_batch(inputs: int) -> None:
    """Beyond 128 terms, and for one event alone, ONNX Runtime by itself would add in another order."""
    rng = np.random.default_rng(1)
    kernel, bias, weights = rng.normal(size=(inputs, 40)), rng.normal(size=40), rng.normal(size=40)
    graph = Graph(inputs)
    values = graph.linear(graph.add("Cast", graph.codes(), to=1), kernel, bias)
    model = graph.finish(graph.weighted_sum(values, weights), "test", "0")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def score(events: np.ndarray) -> np.ndarray:
        return session.run([OUTPUT], {INPUT: events})[0]

    codes = rng.integers(-500, 500, (512, inputs)).astype(np.int16)
    expected = (codes @ kernel + bias) @ weights
    together = score(codes)
    np.testing.assert_allclose(together, expected, atol=1e-5 * np.abs(expected).max())
    assert graph.flop_per_event == 2 * (kernel.size + weights.size)
    for size in (1, 2, 7, 16, 33, 64, 100, 200):
        alone = np.concatenate([score(codes[first : first + size]) for first in range(0, 400, size)])
        np.testing.assert_array_equal(alone.view(np.int32), together[: len(alone)].view(np.int32))
