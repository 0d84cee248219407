"""`models/run train`: train a model on background events and write its bundle."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from l1models.train import threads

VALIDATION_KEPT = 160  # background events kept in the run for the parity set


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--background", type=Path, required=True, metavar="FILE.h5", help="recording to train on")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.yaml", help="what to train, and how")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="folder of the training run (default: models/runs/NAME)"
    )
    parser.add_argument("--events", type=int, metavar="N", help="use the first N background events (default: all)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")


def run(arguments: argparse.Namespace) -> None:
    """Train, keep the run, write the bundle."""
    threads.limit(arguments.threads)
    import jax
    import numpy as np

    from l1models.export.bundle import write_bundle
    from l1models.train import config as configuration
    from l1models.train import runs
    from l1models.train.data import read_background
    from l1models.train.trainer import run_phase

    config = configuration.load(arguments.config)
    settings = yaml.safe_load(arguments.config.read_text())
    folder = arguments.run or Path(__file__).parents[2] / "runs" / config.name
    data = read_background(arguments.background, config.validation_events, arguments.events)
    model = config.build_model()
    folder.mkdir(parents=True, exist_ok=True)
    progress = (folder / "progress.jsonl").open("w")

    params = jax.jit(model.initialise)(jax.random.key(config.seed))
    phases = []
    for number, (name, phase) in enumerate(config.build_phases()):

        def log(entry: dict[str, Any], name: str = name) -> None:
            progress.write(json.dumps({"phase": name, **entry}) + "\n")
            progress.flush()
            shown = " ".join(f"{key}={value:.6g}" for key, value in entry.items() if isinstance(value, float))
            print(f"{name} step {entry['step']}/{phase.steps} {shown}", file=sys.stderr)  # noqa: B023

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
    progress.close()
    tools = {name: version(name) for name in ("jax", "numpy", "onnx")} | {"python": platform.python_version()}
    provenance = {
        "dataset": data.provenance,
        "seed": config.seed,
        "phases": phases,
        "device": jax.devices()[0].platform,
        "command": _command(arguments, config.name),
        "tools": tools,
    }
    kept = np.linspace(0, len(data.validation) - 1, VALIDATION_KEPT).astype(int)
    training_run = runs.TrainingRun(settings, provenance, params, data.validation[kept])
    runs.save(training_run, folder)
    write_bundle(training_run, arguments.out)
    print(f"{arguments.out}: written", file=sys.stderr)


def _command(arguments: argparse.Namespace, name: str) -> str:
    limited = f" --events {arguments.events}" if arguments.events else ""
    return (
        f"models/run train --background {arguments.background.name} --config models/configs/{arguments.config.name} "
        f"--out models/bundles/{name} --threads {arguments.threads}{limited}"
    )
