"""Shared inputs: a recording of random lepton-plus-jets events and bundles trained on it for a few steps."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest
import yaml

from l1models import layout
from l1models.train import threads

# Before JAX starts its backend. Compiling is most of the tests' time, so the code may be slow.
threads.limit(1)
os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"

TINY: dict[str, Any] = {
    "name": "tiny",
    "version": "0.0.1",
    "model": {"type": "autoencoder", "hidden": [16], "latent": 6},
    "seed": 3,
    "validation_events": 500,
    "phases": [{"objective": "reconstruction", "steps": 150, "batch_size": 128, "look_every": 100}],
}
NORMALIZED: dict[str, Any] = {
    "objective": "normalization",
    "steps": 6,
    "batch_size": 64,
    "look_every": 3,
    "settings": {"chains": 16, "latent_steps": 2, "input_steps": 2, "largest_rise": 1e9, "smallest_acceptance": 0.0},
}


def random_events(count: int, seed: int) -> np.ndarray:
    """Particles (count, 19, 4): MET, one lepton above 23 GeV, up to ten jets by falling pT."""
    rng = np.random.default_rng(seed)
    objects = np.zeros((count, layout.OBJECTS, 4), np.float32)
    pt, eta, phi = objects[..., 0], objects[..., 1], objects[..., 2]
    eta[:], phi[:] = rng.normal(0, 1.2, eta.shape).clip(-4, 4), rng.uniform(-np.pi, np.pi, phi.shape)
    eta[:, layout.MET] = 0
    pt[:, 0] = rng.exponential(25, count)
    lepton = np.where(rng.random(count) < 0.5, layout.ELECTRONS.start, layout.MUONS.start)
    pt[np.arange(count), lepton] = 23 + rng.exponential(15, count)
    jets = -np.sort(-rng.exponential(30, (count, 10)), axis=1) + 15
    pt[:, layout.JETS] = np.where(np.arange(10) < rng.poisson(2, count)[:, None], jets, 0)
    objects[pt == 0] = 0
    objects[..., 3] = layout.CLASS_OF_SLOT * (pt > 0)
    return objects


def write_recording(path: Path, objects: np.ndarray) -> Path:
    """An ADC2021-layout file without the datasets of ours."""
    with h5py.File(path, "w") as file:
        file["Particles"] = objects
        file.attrs["seed"] = 5
    return path


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile each program once per session: most of the tests' time would be compilation."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3000 random events."""
    return write_recording(tmp_path_factory.mktemp("data") / "background.h5", random_events(3000, seed=5))


def train(folder: Path, recording: Path, settings: dict[str, Any]) -> Path:
    """Run the verb; returns the bundle, the run is in ``folder / "run"``."""
    from l1models.train import verb

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    paths = {"background": recording, "config": folder / "config.yaml", "out": folder / "bundle", "run": folder / "run"}
    verb.run(parser.parse_args([f"--{name}={path}" for name, path in paths.items()] + ["--threads=1"]))
    return folder / "bundle"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    """A tiny autoencoder's bundle."""
    return train(tmp_path_factory.mktemp("ae"), recording, TINY)


@pytest.fixture(scope="session")
def normalized_bundle(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    """A tiny normalized autoencoder's bundle."""
    settings = {**TINY, "name": "tiny-nae", "phases": [*TINY["phases"], NORMALIZED]}
    return train(tmp_path_factory.mktemp("nae"), recording, settings)


@pytest.fixture(scope="session")
def counting_bundle(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    """A tiny autoencoder whose score counts objects."""
    settings = {**TINY, "name": "tiny-counting", "multiplicity": {"energy_weight": 2.0}}
    return train(tmp_path_factory.mktemp("counting"), recording, settings)


VARIATIONAL: dict[str, Any] = {"objective": "variational", "steps": 150, "batch_size": 128, "look_every": 100}


@pytest.fixture(scope="session", params=["error", "kl", "mean-squared", "dirichlet"])
def variational_bundle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, recording: Path
) -> Path:
    """A tiny variational autoencoder's bundle, one per score, and one with a Dirichlet latent space."""
    dirichlet = request.param == "dirichlet"
    model = {
        "type": "variational",
        "hidden": [16],
        "latent": 6,
        "score_kind": "error" if dirichlet else request.param,
        "dirichlet": 1.0 if dirichlet else 0.0,
    }
    settings = {**TINY, "name": "tiny-vae", "model": model, "phases": [VARIATIONAL]}
    return train(tmp_path_factory.mktemp("vae"), recording, settings)


@pytest.fixture(scope="session")
def event_normalized_bundle(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    """A tiny normalized autoencoder whose chains run over events, with an energy per object."""
    phase = {
        **NORMALIZED,
        "objective": "event-normalization",
        "settings": {
            "chains": 16,
            "latent_chains": 8,
            "input_steps": 3,
            "largest_rise": 1e9,
            "smallest_acceptance": 0.0,
        },
    }
    model = {**TINY["model"], "trained_energy": True}
    settings = {**TINY, "name": "tiny-event-nae", "model": model, "phases": [*TINY["phases"], phase]}
    return train(tmp_path_factory.mktemp("event-nae"), recording, settings)


@pytest.fixture(scope="session", params=["cos-sin", "cartesian"])
def represented_bundle(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    recording: Path,
    event_normalized_bundle: Path,
) -> Path:
    """Tiny models in other representations; the Cartesian one normalized over events, with an error per object."""
    settings = yaml.safe_load((event_normalized_bundle.parent / "config.yaml").read_text())
    changes: dict[str, Any] = {"representation": {"coordinates": request.param, "presence": True}}
    if request.param == "cartesian":
        changes["model"] = {**settings["model"], "per_object": True}
        changes["error_weights"] = {"rank_fall": 0.5}
    else:
        changes["model"] = TINY["model"]
        changes["phases"] = TINY["phases"]
        changes["representation"]["pt_scales"] = [20.0, 30.0, 40.0]
    return train(tmp_path_factory.mktemp("represented"), recording, {**settings, **changes, "name": "tiny-other"})
