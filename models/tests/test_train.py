"""Configurations, data and the training loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

from l1models.errors import InputRefused
from l1models.train import config as configuration
from l1models.train.data import read_background
from l1models.train.objectives import Normalization
from l1models.train.trainer import Phase, run_phase
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
        ({"representation": {"pt": "linear"}}, r"representation\.pt: expected one of log, fourth-root"),
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


def test_a_phase_off_course_keeps_the_last_healthy_weights(recording: Path) -> None:
    """A learning rate far too large: the stop rule must end the phase and hand back finite, earlier weights."""
    data = read_background(recording, validation_events=500)
    model = configuration.parse(TINY, "tiny").build_model()
    params = model.initialise(jax.random.key(0))
    objective = Normalization(chains=16, latent_steps=1, input_steps=1, largest_rise=1.5, smallest_acceptance=0.0)
    phase = Phase(objective, steps=400, batch_size=64, learning_rate=3.0, final_learning_rate=3.0, look_every=5)
    looks: list[dict[str, Any]] = []
    outcome = run_phase(model, params, phase, data.training, data.validation, 1, looks.append)
    assert not outcome.completed
    assert looks[-1]["step"] < 400
    if not any(look["healthy"] for look in looks):
        for kept, given in zip(jax.tree.leaves(outcome.params), jax.tree.leaves(params), strict=True):
            np.testing.assert_array_equal(kept, given)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(outcome.params))
