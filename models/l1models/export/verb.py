"""`models/run export`: write the bundle of a finished training run again, and compare the two."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l1models.train.runs import TrainingRun


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument(
        "--verify",
        type=Path,
        metavar="FILE.h5",
        help="compare graph and trainer on background events of this recording",
    )
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="of --verify (default 10000)")


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle; the same run gives the same model.onnx, byte for byte.

    With ``--verify`` a graph that differs from the trainer by more than `parity.AGREEMENT` ends in exit code 1.
    """
    from l1models.export.bundle import write_bundle
    from l1models.train import runs

    training_run = runs.load(arguments.run)
    manifest = write_bundle(training_run, arguments.out)
    print(f"{arguments.out}: {manifest['name']} {manifest['version']}, sha256 {manifest['sha256']}", file=sys.stderr)
    if arguments.verify:
        _verify(training_run, arguments)


def _verify(training_run: TrainingRun, arguments: argparse.Namespace) -> None:
    from l1models.export import parity
    from l1models.report import scoring
    from l1models.train.data import read_background
    from l1models.train.trainer import scores

    codes = read_background(arguments.verify, 0, arguments.events).training
    found = parity.agreement(
        scoring.load(arguments.out).scores(codes), scores(training_run.model(), training_run.params, codes)
    )
    print(
        f"{arguments.out}: graph and trainer differ on {found.events} background events by at most "
        f"{found.relative:.1e} of the score, and {found.decisive:.1e} of the larger of the score and that which "
        f"{parity.DECISIVE_FRACTION:.0%} exceed"
    )
    if not found.decisive <= parity.AGREEMENT:
        sys.exit(f"models/run export: expected at most {parity.AGREEMENT:.0e}")
