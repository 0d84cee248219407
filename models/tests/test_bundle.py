"""What a bundle promises: parity, determinism, finite scores, and calibrations that never outlive a model."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from l1models import layout
from l1models.errors import InputRefused
from l1models.export import bundle as bundle_module
from l1models.export import parity, verb
from l1models.report import scoring
from l1models.train import runs
from l1models.train.representation import FEATURES
from tests.conftest import TINY, random_events, train

SHIPPED = sorted((Path(__file__).parents[1] / "bundles").iterdir())


@pytest.fixture(params=["tiny", "tiny-nae", "tiny-event-nae", "tiny-counting", *(path.name for path in SHIPPED)])
def any_bundle(request: pytest.FixtureRequest) -> scoring.Bundle:
    fixtures = {
        "tiny": "bundle",
        "tiny-nae": "normalized_bundle",
        "tiny-event-nae": "event_normalized_bundle",
        "tiny-counting": "counting_bundle",
    }
    name = request.param
    folder = request.getfixturevalue(fixtures[name]) if name in fixtures else SHIPPED[0].parent / name
    return scoring.load(folder)


def run(bundle: scoring.Bundle, codes: np.ndarray) -> np.ndarray:
    """Scores of one batch, as bits: equal means equal to the last."""
    return bundle.session.run(["score"], {"events": codes})[0].view(np.int32)


def events(count: int) -> np.ndarray:
    half = layout.to_codes(random_events(count // 2, seed=9))
    return np.concatenate([half, parity.random_words(np.random.default_rng(2), count - len(half))]).reshape(
        -1, FEATURES
    )


def test_scores_equal_the_trainers(any_bundle: scoring.Bundle) -> None:
    content = json.loads((any_bundle.folder / "parity.json").read_text())
    inputs = np.array(content["inputs"], np.int16)
    expected = np.array(content["scores"], np.float32)
    assert inputs.shape == (len(expected), FEATURES) and len(expected) >= 256
    tolerance = content["tolerance"]
    assert tolerance == any_bundle.manifest["parity"]["tolerance"]
    np.testing.assert_allclose(
        any_bundle.scores(inputs), expected, rtol=tolerance["relative"], atol=tolerance["absolute"]
    )


def test_a_score_does_not_depend_on_row_or_batch(any_bundle: scoring.Bundle) -> None:
    codes = events(4096)
    expected = run(any_bundle, codes)
    for shift in (1, 2, 3, 7, 8, 15, 16, 33, 64, 1000):
        np.testing.assert_array_equal(run(any_bundle, np.roll(codes, shift, axis=0)), np.roll(expected, shift))
    order = np.random.default_rng(3).permutation(len(codes))
    np.testing.assert_array_equal(run(any_bundle, codes[order]), expected[order])
    for size in (*range(1, 18), 64, 100, 256, 1000, 1024):
        for first in (0, 5, 1111):
            np.testing.assert_array_equal(run(any_bundle, codes[first : first + size]), expected[first : first + size])


def test_scores_of_all_legal_words_are_finite_and_not_negative(any_bundle: scoring.Bundle) -> None:
    corners = parity.extremes().reshape(-1, FEATURES)
    one_object = np.zeros((layout.OBJECTS * 19, 3, layout.OBJECTS), np.int16)
    for slot in range(layout.OBJECTS):
        one_object[slot * 19 : slot * 19 + 19, :, slot] = parity.extremes()[:, :, 0]
    scores = any_bundle.scores(np.concatenate([events(20000), corners, one_object.reshape(-1, FEATURES)]))
    assert np.isfinite(scores).all() and (scores >= 0).all()


def test_variational_scores_keep_the_promises_too(variational_bundle: Path) -> None:
    bundle = scoring.load(variational_bundle)
    test_scores_equal_the_trainers(bundle)
    test_a_score_does_not_depend_on_row_or_batch(bundle)
    test_scores_of_all_legal_words_are_finite_and_not_negative(bundle)


def test_other_representations_keep_the_promises_too(represented_bundle: Path) -> None:
    bundle = scoring.load(represented_bundle)
    test_scores_equal_the_trainers(bundle)
    test_a_score_does_not_depend_on_row_or_batch(bundle)
    test_scores_of_all_legal_words_are_finite_and_not_negative(bundle)
    assert bundle.manifest["architecture"]["widths"][0] == (95 if "cos-sin" in str(bundle.manifest["training"]) else 76)


def test_objects_in_other_slots_and_swapped_angles_change_the_score(any_bundle: scoring.Bundle) -> None:
    codes = layout.to_codes(random_events(256, seed=11))
    expected = any_bundle.scores(codes.reshape(-1, FEATURES))
    reversed_slots = codes[:, :, ::-1].copy()
    swapped = codes[:, [0, 2, 1]]
    for altered in (reversed_slots, swapped):
        changed = any_bundle.scores(altered.reshape(-1, FEATURES))
        assert (changed != expected).all()
        assert np.mean(np.abs(changed - expected) > 0.01 * np.std(expected)) > 0.9


def test_manifest_describes_the_graph(any_bundle: scoring.Bundle) -> None:
    manifest = any_bundle.manifest
    widths = manifest["architecture"]["widths"]
    layers = list(itertools.pairwise(widths))
    latent = min(widths)
    energy = manifest["training"]["settings"]["model"].get("trained_energy", False)
    counted = "multiplicity" in manifest["architecture"]
    products = sum(a * b for a, b in layers) + latent**2 + 57 + (layout.OBJECTS if energy else 0)
    products += layout.OBJECTS**2 + layout.OBJECTS if counted else 0
    assert manifest["flop_per_event"] == 2 * products
    parameters = sum(a * b + b for a, b in layers) + (57 + layout.OBJECTS if energy else 0)
    assert manifest["parameters"] == parameters + (layout.OBJECTS**2 + 2 if counted else 0)
    assert manifest["sha256"] == hashlib.sha256((any_bundle.folder / "model.onnx").read_bytes()).hexdigest()
    assert manifest["training"]["dataset"]["sha256"] and manifest["training"]["seed"] >= 0


@pytest.mark.parametrize("name", ["bundle", "normalized_bundle", "event_normalized_bundle"])
def test_the_same_seed_gives_the_same_bytes(
    request: pytest.FixtureRequest, tmp_path: Path, recording: Path, name: str
) -> None:
    first = request.getfixturevalue(name)
    settings = runs.load(first.parent / "run").settings
    again, other = (train(tmp_path / str(seed), recording, {**settings, "seed": seed}) for seed in (TINY["seed"], 99))
    assert (again / "model.onnx").read_bytes() == (first / "model.onnx").read_bytes()
    assert (other / "model.onnx").read_bytes() != (first / "model.onnx").read_bytes()


def export(run_folder: Path, out: Path, *options: str) -> None:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    verb.run(parser.parse_args([f"--run={run_folder}", f"--out={out}", *options]))


@pytest.mark.parametrize("name", ["bundle", "event_normalized_bundle"])
def test_graph_and_trainer_agree_where_decisions_are_taken(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    recording: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = request.getfixturevalue(name).parent / "run"
    export(folder, tmp_path, "--verify", str(recording), "--events", "2500")
    assert "on 2500 background events by at most" in capsys.readouterr().out
    # A graph whose weights are a hundred-thousandth off is noticed.
    training_run = runs.load(folder)
    kernel, bias = training_run.params[0]
    altered = dataclasses.replace(training_run, params=[(kernel * (1 + 5e-5), bias), *training_run.params[1:]])
    write = bundle_module.write_bundle
    monkeypatch.setattr(bundle_module, "write_bundle", lambda run, out: write(altered, out))
    with pytest.raises(SystemExit, match="expected at most 1e-05"):
        export(folder, tmp_path, "--verify", str(recording), "--events", "2500")


def test_a_near_perfect_reconstruction_is_compared_with_the_scores_of_decisions() -> None:
    trainer = np.linspace(0, 1, 1001, dtype=np.float32)
    graph = trainer + np.float32(5e-6)
    found = parity.agreement(graph, trainer)
    assert found.relative > 1e-3
    assert found.decisive == pytest.approx(5e-6 / 0.99, rel=0.01)
    assert parity.agreement(trainer * np.float32(1.001), trainer).decisive == pytest.approx(1e-3, rel=0.01)


def test_export_writes_the_same_bundle_again(bundle: Path, tmp_path: Path) -> None:
    export(bundle.parent / "run", tmp_path / "again")
    for name in ("model.onnx", "manifest.json", "parity.json", "CARD.md"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes()


def test_a_calibration_stays_only_with_its_model(bundle: Path, tmp_path: Path) -> None:
    out, digest = tmp_path / "out", hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    export(bundle.parent / "run", out)
    calibration = out / "calibration.json"
    text = json.dumps({"model_sha256": digest, "calibrations": []})
    calibration.write_text(text)
    export(bundle.parent / "run", out)
    assert calibration.read_text() == text
    calibration.write_text(json.dumps({"model_sha256": "0" * 64, "calibrations": []}))
    export(bundle.parent / "run", out)
    assert not calibration.exists()


def test_refusals_name_the_place(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"nowhere: expected a training run"):
        runs.load(tmp_path / "nowhere")
    with pytest.raises(InputRefused, match=r"expected a bundle"):
        scoring.load(tmp_path)
    export(bundle.parent / "run", tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"another model")
    with pytest.raises(InputRefused, match=r"model\.onnx: expected sha256 \w+, received \w+"):
        scoring.load(tmp_path)
