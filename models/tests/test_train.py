"""Configurations, data and the training loop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

from l1models.errors import InputRefused
from l1models.train import config as configuration
from l1models.train.data import read_background
from l1models.train.objectives import Normalization, Reconstruction
from l1models.train.trainer import Phase, run_phase, scores
from tests.conftest import NORMALIZED, TINY, random_events, write_recording

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = configuration.load(path)
    assert config.name == path.stem
    assert config.build_phases()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 1}, r"here: speed: unknown key"),
        ({"seed": "one"}, r"here: seed: expected int, received 'one'"),
        ({"model": {"type": "autoencoder", "hidden": [8]}}, r"model\.latent: missing"),
        ({"model": {"type": "forest", "hidden": [8], "latent": 2}}, r"model\.type: expected one of autoencoder"),
        ({"model": {"type": "autoencoder", "hidden": 8, "latent": 2}}, r"model\.hidden: expected a list"),
        (
            {"representation": {"pt": "cubic"}},
            r"representation\.pt: expected one of log, eighth-root, fourth-root",
        ),
        ({"phases": [{"objective": "luck", "steps": 1}]}, r"phases\[0\]\.objective: expected one of reconstruction"),
        ({"phases": [{"objective": "reconstruction"}]}, r"phases\[0\]\.steps: missing"),
        ({"phases": [{**NORMALIZED, "settings": {"heat": 1}}]}, r"phases\[0\]\.settings\.heat: unknown key"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        configuration.parse({**TINY, **change}, "here")


def test_only_background_is_trained_on_and_groups_are_not_split(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "mixed.h5", random_events(900, seed=1))
    process = np.arange(900) % 3
    with h5py.File(path, "a") as file:
        file["process"] = process.astype(np.int16)
        file["process"].attrs["names"] = ["w", "signal", "qcd"]
        file["process"].attrs["background"] = [True, False, True]
        file["source_group"] = np.arange(900) // 6
    data = read_background(path, validation_events=101)
    assert len(data.training) + len(data.validation) == 600
    assert 101 <= len(data.validation) < 105
    # Each group of six consecutive events holds four of background.
    assert len(data.validation) % 4 == 0
    assert data.provenance["background_processes"] == ["w", "qcd"]
    with pytest.raises(InputRefused, match=r"mixed\.h5: expected more than the 600 background events"):
        read_background(path, validation_events=600)


def test_training_lowers_the_score_of_background(bundle: Path) -> None:
    lines = (bundle.parent / "run" / "progress.jsonl").read_text().splitlines()
    values = [json.loads(line)["validation_score"] for line in lines]
    assert values[-1] < values[0]


@dataclass(frozen=True)
class BoundedReconstruction(Reconstruction):
    """Reconstruction with a stop rule."""

    limit: float = 0.0

    def healthy(self, measures: dict[str, float]) -> bool:
        return measures["validation_score"] < self.limit


def test_a_phase_off_course_ends_with_the_last_healthy_weights(recording: Path) -> None:
    """A learning rate far too large, after a start that is better than what follows."""
    data = read_background(recording, validation_events=500)
    model = configuration.parse(TINY, "tiny").build_model()
    params = model.initialise(jax.random.key(0))
    start = float(np.mean(scores(model, params, data.validation)))
    looks: list[dict[str, Any]] = []
    phase = Phase(BoundedReconstruction(start), 400, 64, learning_rate=3.0, final_learning_rate=3.0, look_every=5)
    outcome = run_phase(model, params, phase, data.training, data.validation, 1, looks.append)
    assert not outcome.completed
    assert [look["healthy"] for look in looks[-2:]] == [False, False] and len(looks) < 80
    kept = float(np.mean(scores(model, outcome.params, data.validation)))
    healthy = [look["validation_score"] for look in looks if look["healthy"]]
    assert kept == pytest.approx(healthy[-1] if healthy else start)


@pytest.mark.parametrize(
    ("change", "healthy"),
    [
        ({}, True),
        ({"validation_score": 2.5}, False),
        ({"acceptance_latent": 0.01}, False),
        ({"acceptance_input": 0.01}, False),
    ],
)
def test_stop_rule_of_normalization(change: dict[str, float], healthy: bool) -> None:
    measures = {"validation_score": 1.1, "reference": 1.0, "acceptance_latent": 0.6, "acceptance_input": 0.5}
    assert Normalization().healthy({**measures, **change}) is healthy
