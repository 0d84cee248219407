"""`models/run train`: train a model on background events and write its bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from l1models.train import threads


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
    from l1models.export.bundle import write_bundle
    from l1models.train import config as configuration
    from l1models.train.data import read_background
    from l1models.train.training import train_run

    config = configuration.load(arguments.config)
    settings = yaml.safe_load(arguments.config.read_text())
    folder = arguments.run or Path(__file__).parents[2] / "runs" / config.name
    data = read_background(arguments.background, config.validation_events, arguments.events)
    training_run = train_run(settings, data, folder, _command(arguments, config.name))
    write_bundle(training_run, arguments.out)
    print(f"{arguments.out}: written", file=sys.stderr)


def _command(arguments: argparse.Namespace, name: str) -> str:
    limited = f" --events {arguments.events}" if arguments.events else ""
    return (
        f"models/run train --background {arguments.background.name} --config models/configs/{arguments.config.name} "
        f"--out models/bundles/{name} --threads {arguments.threads}{limited}"
    )
