"""`models/run export`: write the bundle of a finished training run again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle; the same run gives the same model.onnx, byte for byte."""
    from l1models.export.bundle import write_bundle
    from l1models.train import runs

    manifest = write_bundle(runs.load(arguments.run), arguments.out)
    print(f"{arguments.out}: {manifest['name']} {manifest['version']}, sha256 {manifest['sha256']}", file=sys.stderr)
