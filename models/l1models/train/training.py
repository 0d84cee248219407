"""One training run from configuration and background to a kept run; what `train` and `study` share."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from l1models.train import config as configuration
from l1models.train import runs
from l1models.train.data import Background
from l1models.train.model import Model, Params
from l1models.train.multiplicity import CountingAutoencoder
from l1models.train.trainer import run_phase, scores

VALIDATION_KEPT = 160  # background events kept in the run for the parity set


def train_run(
    settings: dict[str, Any], data: Background, folder: Path, command: str, alike: Path | None = None
) -> runs.TrainingRun:
    """Train what ``settings`` (a configuration as read) say and keep the run in ``folder``.

    ``command`` is what makes it again, for the card. Progress goes to stderr and ``progress.jsonl``. ``alike``: a
    finished run of the same `training_settings` and data, whose weights are taken: the training would give the same.
    """
    config = configuration.parse(settings, "configuration")
    whole = config.build_model()
    model = whole.energy if isinstance(whole, CountingAutoencoder) else whole
    folder.mkdir(parents=True, exist_ok=True)
    if alike is None:
        params, phases = _train(config, model, data, folder)
    else:
        other = runs.load(alike)
        params = other.params[0] if isinstance(other.model(), CountingAutoencoder) else other.params
        phases = other.provenance["phases"]
    if isinstance(whole, CountingAutoencoder):
        params = whole.fit(params, data.training, float(np.mean(scores(model, params, data.training))))
    tools = {name: version(name) for name in ("jax", "numpy", "onnx")} | {"python": platform.python_version()}
    provenance = {
        "dataset": data.provenance,
        "seed": config.seed,
        "phases": phases,
        "device": jax.devices()[0].platform,
        "command": command,
        "tools": tools,
    }
    kept = np.linspace(0, len(data.validation) - 1, VALIDATION_KEPT).astype(int)
    training_run = runs.TrainingRun(settings, provenance, params, data.validation[kept])
    runs.save(training_run, folder)
    return training_run


def training_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """What of ``settings`` decides the trained weights: not the names, nor what is made of the weights afterwards."""
    model = {key: value for key, value in settings["model"].items() if key != "score_kind"}
    unused = ("name", "version", "multiplicity", "model")
    return {**{key: value for key, value in settings.items() if key not in unused}, "model": model}


def _train(
    config: configuration.Config, model: Model, data: Background, folder: Path
) -> tuple[Params, list[dict[str, Any]]]:
    """Run the phases; the parameters and how each phase went."""
    params = jax.jit(model.initialise)(jax.random.key(config.seed))
    phases = []
    with (folder / "progress.jsonl").open("w") as progress:
        for number, (name, phase) in enumerate(config.build_phases()):

            def log(entry: dict[str, Any], name: str = name, steps: int = phase.steps) -> None:
                progress.write(json.dumps({"phase": name, **entry}) + "\n")
                progress.flush()
                shown = " ".join(f"{key}={value:.6g}" for key, value in entry.items() if isinstance(value, float))
                print(f"{name} step {entry['step']}/{steps} {shown}", file=sys.stderr)

            outcome = run_phase(model, params, phase, data.training, data.validation, config.seed + number, log)
            params = outcome.params
            if not outcome.completed:
                print(f"{name}: went off course; kept the last healthy weights", file=sys.stderr)
            phases.append(
                {
                    "objective": name,
                    "steps": phase.steps,
                    "completed": outcome.completed,
                    "seconds": round(outcome.seconds, 1),
                    "measures": {key: float(f"{value:.6g}") for key, value in outcome.measures.items()},
                }
            )
    return params, phases
