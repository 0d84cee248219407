"""Students: parity of graph and trainer, one score whatever the batch, a cut that keeps what it says, refusals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from l1models import layout
from l1models.distil import cut, verb
from l1models.errors import InputRefused
from l1models.export import parity
from l1models.report import scoring
from l1models.report.thresholds import threshold_at
from tests.conftest import random_events, write_recording

EVENTS = 20_000


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("distil") / "calibration.h5", random_events(EVENTS, seed=8))


def distil(out: Path, teacher: Path, background: Path, calibration: Path, *options: str) -> scoring.Bundle:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    files = ["--teacher", str(teacher), "--background", str(background), "--calibration", str(calibration)]
    verb.run(parser.parse_args([*files, "--out", str(out), "--steps", "300", "--threads", "1", *options]))
    return scoring.load(out)


@pytest.fixture(scope="module")
def student(
    tmp_path_factory: pytest.TempPathFactory, counting_bundle: Path, recording: Path, calibration: Path
) -> scoring.Bundle:
    out = tmp_path_factory.mktemp("student") / "student"
    return distil(out, counting_bundle, recording, calibration, "--survivors", "0.05")


def codes_of(count: int, seed: int) -> np.ndarray:
    return layout.to_codes(random_events(count, seed)).reshape(-1, 57)


def test_scores_are_the_trainers_and_do_not_depend_on_the_batch(student: scoring.Bundle) -> None:
    content = json.loads((student.folder / "parity.json").read_text())
    inputs, expected = np.array(content["inputs"], np.int16), np.array(content["scores"], np.float32)
    tolerance = content["tolerance"]
    np.testing.assert_allclose(student.scores(inputs), expected, tolerance["relative"], tolerance["absolute"])
    codes = np.concatenate([codes_of(1000, 3), parity.random_words(np.random.default_rng(2), 48).reshape(-1, 57)])
    whole = student.session.run(["score"], {"events": codes})[0]
    assert np.isfinite(whole).all() and (whole >= 0).all() and len(np.unique(whole)) > 100
    for size in (1, 7, 16, 64, 100, 1024):
        some = student.session.run(["score"], {"events": codes[5 : 5 + size]})[0]
        np.testing.assert_array_equal(some.view(np.int32), whole[5 : 5 + size].view(np.int32))


def test_the_cut_keeps_what_the_manifest_says(
    student: scoring.Bundle, counting_bundle: Path, calibration: Path
) -> None:
    cascade = student.manifest["cascade"]
    teacher = scoring.load(counting_bundle)
    assert cascade["teacher"]["sha256"] == teacher.manifest["sha256"]
    codes = codes_of(EVENTS, seed=8)
    own, scores = student.scores(codes), teacher.scores(codes)
    # The cut is the trainer's score of an event, the graph's may be another by rounding.
    assert np.sum(own >= np.float32(cascade["cut"])) == pytest.approx(0.05 * EVENTS, abs=2)
    assert cascade["survivors"] == pytest.approx(0.05, abs=1e-3)
    for point in cascade["kept"]:
        accepted = scores >= threshold_at(scores, point["target_rate"])
        assert point["accepted"] == accepted.sum() == np.floor(EVENTS * point["target_rate"] + 1e-6)
        assert abs(point["kept"] - np.sum(accepted & (own >= np.float32(cascade["cut"])))) <= 1
        if point["accepted"]:
            assert 0 <= point["low"] <= point["kept"] / point["accepted"] <= point["high"] <= 1
    # Far from the pass of a random choice: it has learnt from the teacher.
    assert cascade["kept"][0]["kept"] >= 15


def test_intervals_are_those_of_independent_groups() -> None:
    teacher, student = np.arange(100_000, dtype=np.float32), np.ones(100_000, np.float32)
    student[-1] = 0
    point = cut.kept(student, teacher, np.arange(100_000), 0.5)[1]
    assert (point["accepted"], point["kept"]) == (10, 9)
    assert (point["low"], point["high"]) == pytest.approx((0.555, 0.9975), abs=1e-3)
    # Ten events of one group are worth one.
    point = cut.kept(np.ones_like(student), teacher, np.zeros(100_000, np.int64), 0.5)[1]
    assert (point["low"], point["high"]) == pytest.approx((0.025, 1), abs=1e-6)


def test_the_same_seed_gives_the_same_bytes(
    student: scoring.Bundle, tmp_path: Path, counting_bundle: Path, recording: Path, calibration: Path
) -> None:
    again = distil(tmp_path / "again", counting_bundle, recording, calibration, "--survivors", "0.05")
    other = distil(tmp_path / "other", counting_bundle, recording, calibration, "--survivors", "0.05", "--seed", "2")
    assert again.manifest["sha256"] == student.manifest["sha256"] != other.manifest["sha256"]


def test_refuses_the_training_recording_as_calibration_and_no_fraction(
    tmp_path: Path, counting_bundle: Path, recording: Path, calibration: Path
) -> None:
    with pytest.raises(InputRefused, match="expected another recording"):
        distil(tmp_path, counting_bundle, recording, recording)
    with pytest.raises(InputRefused, match="between 0 and 1"):
        distil(tmp_path, counting_bundle, recording, calibration, "--survivors", "1")
