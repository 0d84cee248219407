"""`models/run validate`: recordings against published numbers and against one another."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from l1models.errors import InputRefused
from l1models.validate.expectations import Row, judge


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("recordings", type=Path, nargs="+", metavar="FILE.h5", help="one or several recordings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="tables, JSON and plots go here")


def run(arguments: argparse.Namespace) -> None:
    """Read every recording once; exit code 1 where a figure is out of its range or two files share an event."""
    import numpy as np
    from numpy.typing import NDArray

    from l1models.validate import distributions, plots

    names = [path.name for path in arguments.recordings]
    if len(set(names)) < len(names):
        raise InputRefused(f"recordings: expected files of different names, received {', '.join(names)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    seen: list[tuple[str, NDArray[np.uint64]]] = []
    report, text, failed = [], "", 0
    for path in arguments.recordings:
        print(f"{path}: reading", file=sys.stderr)
        contents = distributions.fill(path)
        rows = judge(contents)
        own = np.unique(contents.fingerprints)
        repeated = len(contents.fingerprints) - len(own)
        rows.append(Row("all", "events that are in the file twice", float(repeated), 0, 0, "events are distinct"))
        for other, theirs in seen:
            shared = float(len(np.intersect1d(own, theirs, assume_unique=True)))
            rows.append(Row("all", f"events shared with {other}", shared, 0, 0, "recordings are disjoint"))
        seen.append((path.name, own))
        plots.all_quantities(contents, arguments.out / path.stem)
        plots.overview(contents, arguments.out / f"{path.stem}.svg")
        failed += sum(not row.passed for row in rows)
        report.append(
            {
                "file": path.name,
                "events": {name: process.events for name, process in contents.processes.items()},
                "effective_events": round(contents.effective_events, 1),
                "rows": [vars(row) | {"passed": row.passed} for row in rows],
            }
        )
        text += f"## {path.name}\n\n{len(contents.fingerprints)} events, worth {contents.effective_events:.0f}\n\n"
        text += _table(rows)
    (arguments.out / "validation.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.out / "validation.md").write_text(text)
    print(text, end="")
    if failed:
        print(f"models/run validate: {failed} figures out of their range", file=sys.stderr)
        sys.exit(1)


def _table(rows: list[Row]) -> str:
    lines = ["| process | figure | found | passes | known | |", "|---|---|---|---|---|---|"]
    for row in rows:
        passes = f"{row.low:g} to {row.high:g}" if row.high > row.low else f"{row.low:g}"
        mark = "ok" if row.passed else "**out**"
        lines.append(f"| {row.process} | {row.figure} | {row.found:.4g} | {passes} | {row.known} | {mark} |")
    return "\n".join(lines) + "\n\n"
