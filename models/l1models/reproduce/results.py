"""The table: every evaluation of a reproduction, mean and spread over seeds, as Markdown, JSON and plots."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l1models.reproduce import plots
from l1models.reproduce.steps import SIGNALS

_SEED = re.compile(r"-seed\d+$")


@dataclass(frozen=True)
class Row:
    """One model and signal. ``auc`` and ``efficiency`` (3 rates): one value per seed; intervals of the first seed."""

    auc: list[float]
    auc_error: float
    efficiency: list[list[float]]
    intervals: list[tuple[float, float]]
    passing: list[int]


def write(out: Path) -> str:
    """Write ``results.md``, ``results.json`` and the plots into ``out``; returns the Markdown."""
    files = [json.loads(path.read_text()) for path in sorted((out / "evaluations").glob("*.json"))]
    rows = collect(files)
    text = "\n".join([_absolute(rows), _paired(files), _unions(files), _robust(out / "robustness.json")])
    (out / "results.md").write_text(text)
    content = {f"{model}/{signal}": vars(row) for (model, signal), row in rows.items()}
    (out / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    plots.efficiencies(rows, out / "efficiency.svg")
    plots.areas(rows, out / "auc.svg")
    return text


def collect(evaluations: list[dict[str, Any]]) -> dict[tuple[str, str], Row]:
    """(model without its seed, signal): its figures, seeds in order."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for evaluation in evaluations:
        if "union" in evaluation:
            continue
        for one in [evaluation, *evaluation["further_models"]]:
            for signal in one["signals"]:
                found.setdefault((_SEED.sub("", one["model"]), signal["name"]), {})[one["model"]] = signal
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


def _models(rows: dict[tuple[str, str], Row]) -> list[str]:
    return sorted({model for model, _ in rows})


def _absolute(rows: dict[tuple[str, str], Row]) -> str:
    lines = [
        "| model | seeds | quantity | " + " | ".join(SIGNALS) + " |",
        "|---" * (len(SIGNALS) + 3) + "|",
    ]
    for model in _models(rows):
        own = {signal: rows[model, signal] for signal in SIGNALS if (model, signal) in rows}
        seeds = len(next(iter(own.values())).auc)
        cells = [_spread(own[s].auc, own[s].auc_error, 3, 1) if s in own else "" for s in SIGNALS]
        lines.append(f"| {model} | {seeds} | AUC | " + " | ".join(cells) + " |")
        for at, rate in enumerate(("1e-3", "1e-4", "1e-5")):
            cells = [_percent(own[s], at) if s in own else "" for s in SIGNALS]
            mark = " *" if next(iter(own.values())).passing[at] < 10 else ""
            lines.append(f"| | | % at {rate}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float], error: float, digits: int, factor: float) -> str:
    mean = factor * float(np.mean(values))
    deviation = factor * (float(np.std(values, ddof=1)) if len(values) > 1 else error)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _percent(row: Row, at: int) -> str:
    values, (low, high) = row.efficiency[at], row.intervals[at]
    if len(values) > 1:
        return f"{100 * np.mean(values):.3g} ± {100 * np.std(values, ddof=1):.2g}"
    return f"{100 * values[0]:.3g} [{100 * low:.2g}, {100 * high:.2g}]"


def _paired(evaluations: list[dict[str, Any]]) -> str:
    lines = [
        "| model against | signal | AUC difference | ratio at 1e-3 | at 1e-4 | at 1e-5 |",
        "|---|---|---|---|---|---|",
    ]
    for evaluation in evaluations:
        for comparison in evaluation["comparisons"]:
            for signal in comparison["signals"]:
                ratios = " | ".join(_ratio(point) for point in signal["efficiency_ratio"])
                lines.append(
                    f"| {comparison['model']} : {comparison['against']} | {signal['name']} | "
                    f"{signal['auc_difference']:+.4f} [{signal['low']:+.4f}, {signal['high']:+.4f}] | {ratios} |"
                )
    return "\n".join(lines) + "\n"


def _ratio(point: dict[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    return f"{shown(point['ratio'])} [{shown(point['low'])}, {shown(point['high'])}]"


def _unions(evaluations: list[dict[str, Any]]) -> str:
    lines = ["| union | signal | % at 1e-3 | at 1e-4 | at 1e-5 |", "|---|---|---|---|---|"]
    for evaluation in evaluations:
        if "union" not in evaluation:
            continue
        union = evaluation["union"]
        for signal in union["signals"]:
            cells = [
                f"{100 * e['signal']:.3g} [{100 * e['low']:.2g}, {100 * e['high']:.2g}]" for e in signal["efficiency"]
            ]
            lines.append(f"| {' or '.join(union['models'])} | {signal['name']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _robust(path: Path) -> str:
    if not path.exists():
        return ""
    lines = [
        "| model | at | background over nominal: 1e-4 | 1e-5 | " + " | ".join(f"% {s} at 1e-5" for s in SIGNALS) + " |",
        "|---" * (len(SIGNALS) + 4) + "|",
    ]
    for model, variations in json.loads(path.read_text()).items():
        for name, row in variations.items():
            rates = [f"{rate / nominal:.3g}" for rate, nominal in zip(row["rates"], (1e-4, 1e-5), strict=True)]
            if name == "zerobias":
                rates = [f"{hertz:.3g} Hz" for hertz in row["hertz"]]
            cells = [f"{100 * row['signals'][signal][1]:.3g}" for signal in SIGNALS]
            lines.append(f"| {model} | {name} | {' | '.join([*rates, *cells])} |")
    return "\n".join(lines) + "\n"
