"""Figures of merit against counting by hand and against known distributions."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from l1models.errors import InputRefused
from l1models.report import verb
from l1models.report.thresholds import threshold_at
from tests import estimators
from tests.conftest import random_events, write_recording


def scores(values: object) -> np.ndarray:
    return np.asarray(values, np.float32)


def own_groups(values: np.ndarray) -> np.ndarray:
    return np.arange(len(values))


def test_threshold_lets_at_most_the_rate_pass() -> None:
    background = scores(np.arange(1000))
    assert threshold_at(background, 1e-2) == 990
    assert threshold_at(background, 1e-3) == 999
    assert threshold_at(background, 1e-4) > 999
    # Ties go to fewer passing.
    assert threshold_at(scores([1, 2, 3, 3, 3, 4, 5, 6, 7, 8]), 0.6) == 4


def perform(background: np.ndarray, signal: np.ndarray, rate: float, groups: np.ndarray | None = None) -> tuple:
    groups = own_groups(signal) if groups is None else groups
    (found,) = estimators.perform(background, own_groups(background), {"s": (signal, groups)}, [rate]).values()
    (point,) = estimators.working_points(found, background, groups, [rate])
    return found, point


def test_auc_of_two_gaussians() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        one, _ = perform(scores(rng.normal(0, 1, 500)), scores(rng.normal(1, 1, 300)), 1e-2)
        found.append((one.auc[-1], estimators.spread(one.auc)))
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(0.76025, abs=4 * values.std() / np.sqrt(60))
    assert errors.mean() == pytest.approx(values.std(), rel=0.3)


def test_ties_count_half_and_pass_together() -> None:
    rng = np.random.default_rng(4)
    b, s = scores(rng.integers(0, 5, 400)), scores(rng.integers(0, 6, 300))
    found, point = perform(b, s, 0.3)
    pairs = np.sum(s[:, None] > b) + np.sum(s[:, None] == b) / 2
    assert found.auc[-1] == pytest.approx(pairs / 400 / 300, abs=1e-12)
    assert point.background_passing == np.sum(b >= point.threshold) <= 120
    assert point.signal == np.mean(s >= point.threshold)


def test_clusters_widen_the_errors() -> None:
    rng = np.random.default_rng(2)
    b, s = scores(rng.normal(0, 1, 2000)), np.repeat(scores(rng.normal(1, 1, 200)), 4)
    naive, narrow = perform(b, s, 1e-2)
    clustered, wide = perform(b, s, 1e-2, np.repeat(np.arange(200), 4))
    assert estimators.spread(clustered.auc) > 1.5 * estimators.spread(naive.auc)
    assert wide.signal == narrow.signal == np.mean(s >= threshold_at(b, 1e-2))
    assert wide.low < narrow.low < narrow.signal < narrow.high < wide.high


def test_intervals_cover() -> None:
    rng = np.random.default_rng(3)
    truth = 0.3085  # P(gaussian(2, 1) > 2.5); the background's threshold at 0.62 % is 2.5
    inside = 0
    for _ in range(100):
        _, found = perform(scores(rng.normal(0, 1, 20000)), scores(rng.normal(2, 1, 400)), 0.00621)
        inside += found.low <= truth <= found.high
    assert 88 <= inside <= 100


@pytest.mark.skipif(
    shutil.which("node") is None or not (Path(__file__).parents[2] / "dist" / "cli" / "main.js").exists(),
    reason="needs the built stream processor",
)
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
