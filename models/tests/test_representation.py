"""The representation, in the trainer and in the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from l1models import layout
from l1models.export import parity
from l1models.export.graph import INPUT, OUTPUT, Graph
from l1models.train.representation import FEATURES, ErrorWeights, Representation
from tests.conftest import random_events

CHOICES = [
    Representation(pt, reference, reflect)
    for pt in ("log", "eighth-root", "fourth-root", "square-root", "linear")
    for reference in ("met", "lepton", "none")
    for reflect in (False, True)
] + [
    Representation("fourth-root", "met", coordinates="cos-sin"),
    Representation("log", "none", coordinates="cos-sin", presence=True),
    Representation("fourth-root", "met", coordinates="cartesian"),
    Representation("linear", "lepton", reflect_eta=True, coordinates="cartesian", presence=True),
    Representation("log", "none", coordinates="cartesian"),
    Representation("fourth-root", "met", presence=True, pt_scales=(20.0, 30.0, 40.0)),
    Representation("log", "met", pt_scales=(20.0, 30.0, 40.0)),
]


def codes(count: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([parity.random_words(rng, count), parity.extremes()]).reshape(-1, FEATURES)


def features(representation: Representation, events: np.ndarray) -> np.ndarray:
    return np.asarray(representation.features(events))


@pytest.mark.parametrize("representation", CHOICES, ids=str)
def test_graph_computes_what_the_trainer_computes(representation: Representation) -> None:
    expected = features(representation, codes())
    assert expected.shape[1] == representation.width
    columns = []
    for column in range(representation.width):
        graph = Graph(FEATURES)
        units = representation.write(graph).units
        weights = np.zeros(representation.width)
        weights[column] = representation.scales[column]
        session = onnxruntime.InferenceSession(
            graph.finish(graph.weighted_sum(units, weights), "test", "0"), providers=["CPUExecutionProvider"]
        )
        columns.append(session.run([OUTPUT], {INPUT: codes()})[0])
    # A momentum of 500 TeV (2 TeV at eta 5.6) is known to as many digits as one of 10 GeV.
    largest = np.max(np.abs(expected), axis=0) if representation.coordinates == "cartesian" else 1
    error = np.abs(np.stack(columns, axis=1) - expected)
    assert (error <= 2e-6 * np.maximum(np.abs(expected), largest)).all()


@pytest.mark.parametrize("representation", CHOICES, ids=str)
def test_absent_objects_are_zero_and_features_stay_in_their_bounds(representation: Representation) -> None:
    events = codes()
    flat = features(representation, events)
    values = flat.reshape(len(events), -1, layout.OBJECTS)
    absent = events.reshape(-1, 3, layout.OBJECTS)[:, 0] == 0
    assert absent.any()
    assert (values.transpose(0, 2, 1)[absent] == 0).all()
    low, high = representation.bounds
    assert (flat >= low - 1e-5).all() and (flat <= high * (1 + 1e-6) + 1e-5).all()
    np.testing.assert_array_equal(np.asarray(representation.present(flat)) == 0, absent)


@pytest.mark.parametrize("representation", [c for c in CHOICES if not c.reflect_eta], ids=str)
def test_features_give_the_event_back(representation: Representation) -> None:
    """Up to the rotation; chains start from what a decoder's features stand for."""
    events = layout.to_codes(random_events(500, 2)).reshape(-1, FEATURES)
    there = np.tile(events[:, : layout.OBJECTS] > 0, 3)
    back = np.asarray(representation.codes(features(representation, events)))
    again = features(representation, back)
    np.testing.assert_allclose(
        again[:, : 2 * layout.OBJECTS], features(representation, events)[:, : 2 * layout.OBJECTS], atol=2e-3
    )
    kept = slice(0, 2 * layout.OBJECTS)
    # Beyond eta codes of a few hundred float32 loses a thousandth.
    np.testing.assert_allclose(np.where(there, back, 0)[:, kept], events[:, kept], rtol=2e-3, atol=0.5)


@pytest.mark.parametrize("coordinates", ["polar", "cos-sin", "cartesian"])
@pytest.mark.parametrize("reference", ["met", "lepton"])
def test_a_rotated_event_is_the_same_event(reference: str, coordinates: str) -> None:
    representation = replace(Representation(), phi_reference=reference, coordinates=coordinates, presence=True)
    events = codes().reshape(-1, 3, layout.OBJECTS)
    rotated = events.copy()
    phi = events[:, 2].astype(int) + 101
    rotated[:, 2] = np.where(events[:, 0] > 0, (phi + 288) % layout.PHI_CODES - 288, 0)
    # The reference must be there: without MET, or without a lepton, angles stay as they are.
    there = (events[:, 0, [0, 1, 5]] > 0).all(axis=1)
    before, after = (features(representation, e[there].reshape(-1, FEATURES)) for e in (events, rotated))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("coordinates", ["polar", "cos-sin", "cartesian"])
def test_a_mirrored_event_is_the_same_event(coordinates: str) -> None:
    representation = replace(Representation(reflect_eta=True), coordinates=coordinates)
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


def test_coordinates_of_a_known_object() -> None:
    event = np.zeros((1, 3, layout.OBJECTS), np.int16)
    event[0, :, 1] = 80, 92, 96  # electron: pT 40 GeV, eta 1.0005, phi 60 degrees
    event[0, :, 9] = 60, 0, -288  # jet: pT 30 GeV at -180 degrees
    event = event.reshape(1, -1)
    eta = 92 * layout.ETA_LSB
    polar = features(Representation("linear", "none", coordinates="cos-sin"), event).reshape(4, layout.OBJECTS)
    np.testing.assert_allclose(polar[:, 1], [4, eta / 2, 0.5, np.sqrt(0.75)], rtol=1e-6)
    np.testing.assert_allclose(polar[:, 9], [3, 0, -1, 0], atol=1e-6)
    momenta = features(Representation("linear", "none", coordinates="cartesian"), event).reshape(3, layout.OBJECTS)
    np.testing.assert_allclose(momenta[:, 1], [2, 4 * np.sqrt(0.75), 4 * np.sinh(eta)], rtol=1e-6)
    np.testing.assert_allclose(momenta[:, 9], [-3, 0, 0], atol=1e-6)
    scaled = Representation("linear", "none", presence=True, pt_scales=(10.0, 20.0, 30.0))
    values = features(scaled, event).reshape(4, layout.OBJECTS)
    np.testing.assert_allclose(values[:, 9], [1, 0, -np.pi, 1], rtol=1e-6)
    np.testing.assert_allclose(values[[0, 3], 1], [2, 1], rtol=1e-6)


def test_error_weights_per_object_and_coordinate() -> None:
    weights = ErrorWeights(rank_fall=1.0, presence=0.5)
    cos_sin = weights.column(Representation(coordinates="cos-sin", presence=True)).reshape(5, layout.OBJECTS) * 57
    np.testing.assert_allclose(cos_sin[:, 1], [2.5, 1.2, 1.2, 1.2, 0.5])
    np.testing.assert_allclose(cos_sin[:, 2], [1.25, 0.6, 0.6, 0.6, 0.5])
    np.testing.assert_allclose(cos_sin[0, layout.JETS], 1 / np.arange(1, 11))
    cartesian = ErrorWeights().column(Representation(coordinates="cartesian")).reshape(3, layout.OBJECTS) * 57
    np.testing.assert_allclose(cartesian[:, 9], [1.0, 1.0, 0.3])
