"""The performance of one model as data (the JSON of `nae-trigger evaluate`, with more) and as Markdown."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from l1models.report import metrics
from l1models.report.scoring import Scored

RATES = (1e-3, 1e-4, 1e-5)


def measure(model: str, background: Scored, signals: dict[str, Scored]) -> dict[str, Any]:
    """AUC and efficiencies of every signal, and which background processes make up what passes."""
    b, b_groups = background.scores, background.source_group
    rows = []
    drawn = {name: (scored.scores, scored.source_group) for name, scored in signals.items()}
    performances = metrics.perform(b, b_groups, drawn, RATES)
    for name, scored in signals.items():
        performance = performances[name]
        points = metrics.working_points(performance, b, scored.source_group, RATES)
        rows.append(
            {
                "name": name,
                "events": len(scored.scores),
                "effective_events": metrics.effective_events(scored.source_group),
                "auc": float(performance.auc[-1]),
                "auc_error": metrics.spread(performance.auc),
                "efficiency": [asdict(point) for point in points],
            }
        )
    composition = []
    for rate in RATES:
        passing = background.process[b >= metrics.threshold_at(b, rate)]
        counts = np.bincount(passing, minlength=len(background.process_names))
        composition.append(
            {"background": rate, "passing": dict(zip(background.process_names, counts.tolist(), strict=True))}
        )
    return {
        "model": model,
        "background_events": len(b),
        "effective_background_events": metrics.effective_events(b_groups),
        "signals": rows,
        "composition": composition,
    }


def markdown(measured: dict[str, Any], background_file: str, background_sha256: str) -> str:
    """The performance block of a card."""
    lines = [
        f"Measured on {measured['background_events']} background events of `{background_file}` (sha256 "
        f"`{background_sha256}`), none of them used in training, with ONNX Runtime at batch 1024.",
        "AUC with its standard error; signal efficiency in per cent at three background efficiencies, with 95 %",
        "intervals (signal counting and threshold together; events that share a parton event count as a cluster).",
        "",
        "| signal | events | AUC | at 1e-3 | at 1e-4 | at 1e-5 |",
        "|---|---|---|---|---|---|",
    ]
    for row in measured["signals"]:
        cells = [f"{100 * e['signal']:.3g} [{100 * e['low']:.3g}, {100 * e['high']:.3g}]" for e in row["efficiency"]]
        lines.append(
            f"| {row['name']} | {row['events']} | {row['auc']:.4f} ± {row['auc_error']:.4f} | {' | '.join(cells)} |"
        )
    present = [name for name, count in measured["composition"][0]["passing"].items() if count]
    lines += [
        "",
        "Background events that pass, by process:",
        "",
        f"| at | {' | '.join(present)} |",
        "|---" * (len(present) + 1) + "|",
    ]
    for row in measured["composition"]:
        lines.append(f"| {row['background']:g} | {' | '.join(str(row['passing'][name]) for name in present)} |")
    return "\n".join(lines) + "\n"


def comparison(measured: list[dict[str, Any]]) -> str:
    """All models side by side: AUC and efficiency in per cent per signal."""
    names = [row["name"] for row in measured[0]["signals"]]
    lines = [f"| model | quantity | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for entry in measured:
        signals = entry["signals"]
        lines.append(f"| {entry['model']} | AUC | " + " | ".join(f"{s['auc']:.3f}" for s in signals) + " |")
        for number, rate in enumerate(RATES):
            values = [f"{100 * s['efficiency'][number]['signal']:.3g}" for s in signals]
            lines.append(f"| {entry['model']} | % at {rate:g} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"
