"""`models/run reproduce events`: everything from nothing, one step after another; finished steps are not run again."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from l1models import stream
from l1models.errors import InputRefused
from l1models.reproduce import steps

_MODELS = Path(__file__).parents[2]
_RESULTS = _MODELS / "data" / "reproduced"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("what", choices=["events"], help="the models that score 57 numbers of an event")
    parser.add_argument(
        "--scale", choices=sorted(steps.SCALES), default="full", help="small: a trial run of every step"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=_RESULTS,
        metavar="DIR",
        help="everything goes here (default: models/data/reproduced)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that generate (default: all)")
    parser.add_argument(
        "--as-is", action="store_true", help="no new recordings and trainings: evaluate and tabulate what there is"
    )
    parser.add_argument("--list", action="store_true", help="print the commands instead of running them")


def run(arguments: argparse.Namespace) -> None:
    """Run what is missing, then write results.md, results.json and the plots."""
    scale = steps.SCALES[arguments.scale]
    out = arguments.out.resolve()
    planned = steps.steps(scale, out, _MODELS / "configs", _MODELS / "plans", arguments.workers)
    if arguments.list:
        for step in planned:
            print(shlex.join(_command(step)))
        return
    for folder in ("runs", "references", "evaluations"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(planned, 1):
        if all(path.exists() for path in step.makes):
            print(f"{step.name}: done before ({number} of {len(planned)})", file=sys.stderr)
            continue
        if arguments.as_is and (step.data or not all(path.exists() for path in step.needs)):
            print(f"{step.name}: left out ({number} of {len(planned)})", file=sys.stderr)
            continue
        print(f"{step.name}: {shlex.join(_command(step))} ({number} of {len(planned)})", file=sys.stderr)
        started = time.monotonic()
        finished = subprocess.run(_command(step), stdout=subprocess.DEVNULL, check=False)
        # Figures of a trial run are out of every range; the report is what the step is for.
        if finished.returncode and not (step.name == "validation" and arguments.scale == "small"):
            raise InputRefused(f"{step.name}: expected exit code 0, received {finished.returncode}; run again to go on")
        print(f"{step.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    from l1models.reproduce import crossings, results, robustness

    robustness.measure(out, scale)
    if (out / "zerobias.h5").exists():
        crossings.measure(out)
    print(results.write(out))


def _command(step: steps.Step) -> list[str]:
    return stream.command(*step.command) if step.node else [sys.executable, "-m", "l1models", *step.command]
