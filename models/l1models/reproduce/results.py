"""The table: every evaluation of a reproduction, mean and spread over seeds, as Markdown, JSON and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from l1models.reproduce import plots, tables
from l1models.reproduce.row import Row
from l1models.reproduce.steps import MENU_RATE


def write(out: Path) -> str:
    """Write ``results.md``, ``results.json`` and the plots into ``out``; returns the Markdown."""
    files = {path.stem: json.loads(path.read_text()) for path in sorted((out / "evaluations").glob("*.json"))}
    # On the test recording; the others have tables of their own.
    main = [one for name, one in files.items() if not name.startswith(("zerobias", "inverse-"))]
    rows = collect(main)
    sections = {
        "All models": tables.absolute(rows),
        "Against the plain autoencoder, over seeds": tables.paired_over_seeds(main),
        "Against the plain autoencoder, seed 1": tables.paired(main),
        f"Beyond the menu at {MENU_RATE}": tables.pure(main),
        "Unions": tables.unions(main),
        "Sculpting": tables.sculpting(main),
        "Trained on one process, tested on others": tables.inverse(files),
        "Elsewhere than where the threshold was set": tables.robust(_read(out / "robustness.json")),
        "Unfiltered crossings": tables.crossings(_read(out / "zerobias.json"), files),
    }
    text = "\n".join(f"## {title}\n\n{table}" for title, table in sections.items() if table)
    (out / "results.md").write_text(text)
    content = {f"{model}/{signal}": vars(row) for (model, signal), row in rows.items()}
    (out / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    plots.efficiencies(rows, out / "efficiency.svg")
    plots.areas(rows, out / "auc.svg")
    return text


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def collect(evaluations: list[dict[str, Any]]) -> dict[tuple[str, str], Row]:
    """(model without its seed, signal): its figures, seeds in order."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for evaluation in evaluations:
        if "union" in evaluation:
            continue
        for one in [evaluation, *evaluation["further_models"]]:
            for signal in one["signals"]:
                found.setdefault((tables.without_seed(one["model"]), signal["name"]), {})[one["model"]] = signal
    rows = {}
    for key, seeds in found.items():
        ordered = [seeds[name] for name in sorted(seeds)]
        points = ordered[0]["efficiency"]
        rows[key] = Row(
            [one["auc"] for one in ordered],
            ordered[0]["auc_error"],
            [[one["efficiency"][at]["signal"] for one in ordered] for at in range(len(points))],
            [(point["low"], point["high"]) for point in points],
            [point["background_passing"] for point in points],
        )
    return rows
