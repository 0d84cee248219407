"""Yardsticks: known answers, parity of graph and numpy, independence of the batch, refusals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.errors import InputRefused
from l1models.reference import cuts, verb
from l1models.report import scoring
from tests.conftest import random_events, write_recording


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("reference") / "background.h5", random_events(24_000, 1))


@pytest.fixture(scope="module")
def signal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events whose jets are harder by half."""
    objects = random_events(4000, 2)
    objects[:, layout.JETS, 0] *= 1.5
    path = tmp_path_factory.mktemp("reference") / "signal.h5"
    recording = hdf5.Recording(objects, np.zeros(4000, np.int16), np.arange(4000), ("hard",), (False,))
    hdf5.write(path, recording, {})
    return path


def reference(out: Path, background: Path, *options: str) -> scoring.Bundle:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    verb.run(parser.parse_args(["--background", str(background), "--out", str(out), "--threads", "1", *options]))
    return scoring.load(out)


def codes_of(objects: np.ndarray) -> np.ndarray:
    return layout.to_codes(objects).reshape(-1, 57)


@pytest.fixture(params=verb.KINDS)
def bundle(request: pytest.FixtureRequest, tmp_path: Path, background: Path, signal: Path) -> scoring.Bundle:
    options = ["--signal", str(signal), "--process", "hard"] if request.param == "classifier" else []
    options += ["--steps", "100"] if request.param in ("classifier", "flow") else []
    return reference(tmp_path / "out", background, "--kind", request.param, *options)


def test_scores_equal_those_without_the_graph_whatever_the_batch(bundle: scoring.Bundle) -> None:
    content = json.loads((bundle.folder / "parity.json").read_text())
    inputs, expected = np.array(content["inputs"], np.int16), np.array(content["scores"], np.float32)
    tolerance = content["tolerance"]
    np.testing.assert_allclose(bundle.scores(inputs), expected, tolerance["relative"], tolerance["absolute"])
    assert len(np.unique(expected)) > 5
    codes = codes_of(random_events(1000, 3))
    whole = bundle.scores(codes)
    assert (whole >= 0).all()
    for size in (1, 7, 64, 300):
        alone = bundle.session.run(["score"], {"events": codes[:size]})[0]
        assert np.array_equal(alone.view(np.int32), whole[:size].view(np.int32))
    assert bundle.manifest["architecture"]["description"] in (bundle.folder / "CARD.md").read_text()


def test_cuts_are_the_quantities_they_name(tmp_path: Path, background: Path) -> None:
    objects = np.zeros((1, layout.OBJECTS, 4), np.float32)
    for slot, pt in ((0, 31.5), (1, 40), (5, 52), (9, 80), (10, 20.5)):
        objects[0, slot, 0] = pt
    for kind, expected in (("ht", 100.5), ("met", 31.5), ("lepton-pt", 52), ("objects", 4)):
        found = reference(tmp_path / kind, background, "--kind", kind).scores(codes_of(objects))
        assert found.tolist() == [expected]


def test_every_seed_of_a_menu_has_the_rate_that_its_score_says() -> None:
    background = codes_of(random_events(50_000, 4))
    menu = cuts.Menu.fit(background)
    thresholds = menu.thresholds(2.0)
    ht = background[:, layout.JETS].astype(int).sum(axis=1) * layout.PT_LSB
    assert np.mean(ht >= thresholds["HT"]) == pytest.approx(0.01, rel=0.15)
    assert np.mean(background[:, 0] * layout.PT_LSB >= thresholds["MET"]) == pytest.approx(0.01, rel=0.15)
    # An OR of seeds: at least as many pass as of one, at most as many as of all together.
    passing = np.mean(menu.score(background) >= 2.0)
    assert 0.01 < passing < 0.01 * len(cuts.SEEDS) * 1.15


def test_a_classifier_finds_its_signal_better_than_chance_on_events_it_has_not_seen(
    tmp_path: Path, background: Path, signal: Path
) -> None:
    options = ("--kind", "classifier", "--signal", str(signal), "--process", "hard", "--steps", "300")
    bundle = reference(tmp_path / "out", background, *options)
    assert bundle.manifest["training"]["signal"]["events"] == 2000
    events = hdf5.read(signal)
    unseen = bundle.scores(events.codes[events.source_group % 2 == 1].reshape(-1, 57))
    against = bundle.scores(codes_of(random_events(2000, 5)))
    assert np.mean(unseen[:, None] > against[None]) > 0.6
    assert "Supervised: 2000 events of hard" in (bundle.folder / "CARD.md").read_text()


def test_refusals(tmp_path: Path, background: Path, signal: Path) -> None:
    with pytest.raises(InputRefused, match="expected both with --kind classifier"):
        reference(tmp_path, background, "--kind", "classifier")
    with pytest.raises(InputRefused, match="--process: expected hard, received 'soft'"):
        reference(tmp_path, background, "--kind", "classifier", "--signal", str(signal), "--process", "soft")
    with pytest.raises(InputRefused, match="--components: expected 1 to 56, received 57"):
        reference(tmp_path, background, "--kind", "pca", "--components", "57")
