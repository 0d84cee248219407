"""`models/run report`: AUC and signal efficiencies of bundles, as table, JSON and plots; fills the cards."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from l1models import hdf5
from l1models.errors import InputRefused

# What an evaluation says of all its models.
_OF_ALL = ("further_models", "comparisons")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--bundle", type=Path, action="append", required=True, metavar="BUNDLE", help="repeatable")
    parser.add_argument(
        "--background", type=Path, required=True, metavar="FILE.h5", help="not the training's recording"
    )
    parser.add_argument("--signal", action="append", required=True, metavar="NAME=FILE.h5", help="repeatable")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="report.json, report.md and plots go here"
    )
    parser.add_argument("--cards", action="store_true", help="also write each bundle's performance into its CARD.md")
    parser.add_argument("--timing", action="store_true", help="also time the graphs on one core")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate with the stream processor, tabulate, plot."""
    from l1models import stream
    from l1models.export import card
    from l1models.export.bundle import CARD
    from l1models.report import plots, scoring, tables
    from l1models.train.data import sha256

    signals = dict(_named(text) for text in arguments.signal)
    bundles = [scoring.load(folder) for folder in arguments.bundle]
    digest = sha256(arguments.background)
    for bundle in bundles:
        if bundle.manifest["training"]["dataset"]["sha256"] == digest:
            raise InputRefused(f"{arguments.background}: {bundle.name} was trained on this recording")
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = []
    evaluated = stream.evaluate(arguments.bundle, arguments.background, signals)
    for bundle, performance in zip(bundles, evaluated, strict=True):
        print(f"{bundle.name}: distributions", file=sys.stderr)
        background = scoring.score_recording(bundle, arguments.background, "background")
        scored = {name: scoring.score_recording(bundle, path, "signal") for name, path in signals.items()}
        measured = {
            **{key: value for key, value in performance.items() if key not in _OF_ALL},
            "sha256": bundle.manifest["sha256"],
            "composition": tables.composition(background),
        }
        plots.score_distribution(bundle.name, background, scored, arguments.out / f"{bundle.name}-scores.png")
        plots.roc(bundle.name, background, scored, arguments.out / f"{bundle.name}-roc.png")
        if arguments.cards:
            text = tables.markdown(measured, arguments.background.name, digest)
            (bundle.folder / CARD).write_text(card.render(bundle.manifest, text))
        report.append(measured)
    if arguments.timing:
        codes = hdf5.read(arguments.background, stop=4096).codes.reshape(-1, 57)
        for batch in (1024, 4096):
            times = scoring.nanoseconds_per_event(bundles, codes, batch)
            for measured, nanoseconds in zip(report, times, strict=True):
                measured.setdefault("nanoseconds_per_event", {})[str(batch)] = round(nanoseconds, 1)
    (arguments.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    table = tables.comparison(report)
    (arguments.out / "report.md").write_text(table)
    print(table, end="")


def _named(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise InputRefused(f"--signal: expected NAME=FILE.h5, received {text!r}")
    return name, Path(path)
