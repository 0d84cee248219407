"""Figures of merit against counting by hand and against known distributions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from l1models.errors import InputRefused
from l1models.report import metrics, verb
from tests.conftest import random_events, write_recording


def scores(values: object) -> np.ndarray:
    return np.asarray(values, np.float32)


def own_groups(values: np.ndarray) -> np.ndarray:
    return np.arange(len(values))


def test_threshold_lets_at_most_the_rate_pass() -> None:
    background = scores(np.arange(1000))
    assert metrics.threshold_at(background, 1e-2) == 990
    assert metrics.threshold_at(background, 1e-3) == 999
    assert metrics.threshold_at(background, 1e-4) > 999
    # Ties go to fewer passing.
    assert metrics.threshold_at(scores([1, 2, 3, 3, 3, 4, 5, 6, 7, 8]), 0.6) == 4


def test_auc_of_two_gaussians() -> None:
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(200):
        b, s = scores(rng.normal(0, 1, 500)), scores(rng.normal(1, 1, 300))
        estimates.append(metrics.auc(b, own_groups(b), s, own_groups(s)))
    values, errors = np.array(estimates).T
    assert values.mean() == pytest.approx(0.76025, abs=4 * values.std() / np.sqrt(200))
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_clusters_widen_the_errors() -> None:
    rng = np.random.default_rng(2)
    b, s = scores(rng.normal(0, 1, 2000)), np.repeat(scores(rng.normal(1, 1, 200)), 4)
    groups = np.repeat(np.arange(200), 4)
    _, naive = metrics.auc(b, own_groups(b), s, own_groups(s))
    _, clustered = metrics.auc(b, own_groups(b), s, groups)
    assert clustered > 1.5 * naive
    wide = metrics.efficiency_at(b, own_groups(b), s, groups, 1e-2)
    narrow = metrics.efficiency_at(b, own_groups(b), s, own_groups(s), 1e-2)
    assert wide.signal == narrow.signal == np.mean(s >= metrics.threshold_at(b, 1e-2))
    assert wide.low < narrow.low < narrow.signal < narrow.high < wide.high


def test_intervals_cover() -> None:
    rng = np.random.default_rng(3)
    truth = 0.3085  # P(gaussian(2, 1) > 2.5); the background's threshold at 0.62 % is 2.5
    inside = 0
    for _ in range(200):
        b, s = scores(rng.normal(0, 1, 20000)), scores(rng.normal(2, 1, 400))
        found = metrics.efficiency_at(b, own_groups(b), s, own_groups(s), 0.00621)
        inside += found.low <= truth <= found.high
    assert 180 <= inside <= 200


def test_report_writes_table_plots_and_card(bundle: Path, tmp_path: Path, recording: Path) -> None:
    background = write_recording(tmp_path / "test.h5", random_events(2000, seed=20))
    hard = random_events(300, seed=21)
    hard[..., 0] *= 4
    signal = write_recording(tmp_path / "hard.h5", hard)
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    options = [f"--bundle={bundle}", f"--signal=hard={signal}", f"--out={tmp_path / 'report'}", "--cards"]
    verb.run(parser.parse_args([*options, f"--background={background}"]))
    (measured,) = json.loads((tmp_path / "report" / "report.json").read_text())
    (row,) = measured["signals"]
    assert row["name"] == "hard" and row["events"] == 300 and row["auc"] > 0.9
    point = row["efficiency"][0]
    assert point["background"] == 1e-3 and point["background_passing"] == 2
    assert point["low"] <= point["signal"] <= point["high"]
    assert sum(measured["composition"][0]["passing"].values()) == 2
    assert (tmp_path / "report" / "tiny-roc.png").stat().st_size > 1000
    assert f"| hard | 300 | {row['auc']:.4f}" in (bundle / "CARD.md").read_text()
    with pytest.raises(InputRefused, match="tiny was trained on this recording"):
        verb.run(parser.parse_args([*options, f"--background={recording}"]))
