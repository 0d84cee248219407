"""`models/run study`: the trainings of a plan, one after another; finished ones are skipped, so it can be resumed.

Runs that differ only in what is made of the weights (the score of a variational autoencoder, counted numbers of
objects) are trained once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from l1models.train import threads

_MODELS = Path(__file__).parents[2]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("plan", type=Path, metavar="PLAN.yaml", help="what to train (models/plans/)")
    parser.add_argument("--background", type=Path, required=True, metavar="FILE.h5", help="recording to train on")
    parser.add_argument("--signal", type=Path, metavar="FILE.h5", help="signal recording that contaminations draw from")
    parser.add_argument(
        "--runs", type=Path, default=_MODELS / "runs", metavar="DIR", help="runs and bundles (default: models/runs)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only runs whose name contains TEXT")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def run(arguments: argparse.Namespace) -> None:
    """Train what is missing; each run's bundle is in ``RUNS/NAME/bundle``."""
    threads.limit(arguments.threads)
    from l1models.export.bundle import write_bundle
    from l1models.study import plan, training_sets
    from l1models.train.training import train_run

    planned = [item for item in plan.load(arguments.plan, _MODELS / "configs") if arguments.only in item.name]
    finished: list[tuple[plan.PlannedRun, Path]] = []
    for number, item in enumerate(planned, 1):
        folder = arguments.runs / item.name
        alike = next((other for before, other in finished if item.trained_as(before)), None)
        finished.append((item, folder))
        if (folder / "bundle" / "manifest.json").exists():
            print(f"{item.name}: done before ({number} of {len(planned)})", file=sys.stderr)
            continue
        source = f"the weights of {alike.name}" if alike else "training"
        print(f"{item.name}: {source} ({number} of {len(planned)})", file=sys.stderr)
        data = training_sets.read(item, arguments.background, arguments.signal)
        signal = f" --signal {arguments.signal.name}" if item.entry.contamination.fraction else ""
        command = (
            f"models/run study models/plans/{arguments.plan.name} --background {arguments.background.name}{signal} "
            f"--only {item.name}"
        )
        write_bundle(train_run(item.settings, data, folder, command, alike), folder / "bundle")
