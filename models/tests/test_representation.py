"""The representation, in the trainer and in the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from l1models import layout
from l1models.export import parity
from l1models.export.graph import INPUT, OUTPUT, Graph
from l1models.train.representation import FEATURES, Representation

CHOICES = [
    Representation(pt, reference, reflect)
    for pt in ("log", "eighth-root", "fourth-root", "square-root", "linear")
    for reference in ("met", "lepton", "none")
    for reflect in (False, True)
]


def codes(count: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([parity.random_words(rng, count), parity.extremes()]).reshape(-1, FEATURES)


def features(representation: Representation, events: np.ndarray) -> np.ndarray:
    return np.asarray(representation.features(events))


@pytest.mark.parametrize("representation", CHOICES, ids=str)
def test_graph_computes_what_the_trainer_computes(representation: Representation) -> None:
    expected = features(representation, codes())
    columns = []
    for column in range(FEATURES):
        graph = Graph(FEATURES)
        units = representation.write(graph).units
        weights = np.zeros(FEATURES)
        weights[column] = representation.scales[column]
        session = onnxruntime.InferenceSession(
            graph.finish(graph.weighted_sum(units, weights), "test", "0"), providers=["CPUExecutionProvider"]
        )
        columns.append(session.run([OUTPUT], {INPUT: codes()})[0])
    np.testing.assert_allclose(np.stack(columns, axis=1), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("representation", CHOICES, ids=str)
def test_absent_objects_are_zero_and_features_stay_in_their_bounds(representation: Representation) -> None:
    events = codes()
    values = features(representation, events).reshape(-1, 3, layout.OBJECTS)
    absent = events.reshape(-1, 3, layout.OBJECTS)[:, 0] == 0
    assert absent.any()
    assert (values.transpose(0, 2, 1)[absent] == 0).all()
    low, high = representation.bounds
    flat = values.reshape(-1, FEATURES)
    assert (flat >= low - 1e-5).all() and (flat <= high + 1e-5).all()


@pytest.mark.parametrize("reference", ["met", "lepton"])
def test_a_rotated_event_is_the_same_event(reference: str) -> None:
    representation = replace(Representation(), phi_reference=reference)
    events = codes().reshape(-1, 3, layout.OBJECTS)
    rotated = events.copy()
    phi = events[:, 2].astype(int) + 101
    rotated[:, 2] = np.where(events[:, 0] > 0, (phi + 288) % layout.PHI_CODES - 288, 0)
    # The reference must be there: without MET, or without a lepton, angles stay as they are.
    there = (events[:, 0, [0, 1, 5]] > 0).all(axis=1)
    before, after = (features(representation, e[there].reshape(-1, FEATURES)) for e in (events, rotated))
    np.testing.assert_array_equal(before, after)


def test_a_mirrored_event_is_the_same_event() -> None:
    representation = Representation(reflect_eta=True)
    events = codes().reshape(-1, 3, layout.OBJECTS)
    events = events[np.where(events[:, 0, 1] >= events[:, 0, 5], events[:, 1, 1], events[:, 1, 5]) != 0]
    mirrored = events.copy()
    mirrored[:, 1] *= -1
    before, after = (features(representation, e.reshape(-1, FEATURES)) for e in (events, mirrored))
    np.testing.assert_array_equal(before, after)


def test_values_of_a_known_event() -> None:
    event = np.zeros((1, 3, layout.OBJECTS), np.int16)
    event[0, :, 0] = 60, 0, 280  # MET 30 GeV
    event[0, :, 1] = 80, -100, -280  # electron 40 GeV, 16 codes on across the seam of phi
    values = features(Representation("log", "met"), event.reshape(1, -1)).reshape(3, layout.OBJECTS)
    np.testing.assert_allclose(values[:, 0], [np.log(4), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], [np.log(5), -100 * 0.010875 / 2, 16 * 2 * np.pi / 576], rtol=1e-6)
    assert (values[:, 2:] == 0).all()
