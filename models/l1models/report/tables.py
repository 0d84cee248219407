"""The performance of models, from what `nae-trigger evaluate` says of them, as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from l1models.report.scoring import Scored
from l1models.report.thresholds import threshold_at

RATES = (1e-3, 1e-4, 1e-5)


def composition(background: Scored) -> list[dict[str, Any]]:
    """Which background processes make up what passes at each rate."""
    found = []
    for rate in RATES:
        passing = background.process[background.scores >= threshold_at(background.scores, rate)]
        counts = np.bincount(passing, minlength=len(background.process_names))
        found.append({"background": rate, "passing": dict(zip(background.process_names, counts.tolist(), strict=True))})
    return found


def markdown(measured: dict[str, Any], background_file: str, background_sha256: str) -> str:
    """The performance block of a card."""
    lines = [
        f"Measured by `nae-trigger evaluate` on {measured['background_events']} background events of "
        f"`{background_file}` (sha256 `{background_sha256}`, worth {measured['effective_background_events']:.0f} "
        "independent ones), none of them used in training.",
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
    lines += [
        "",
        "Rank correlation of the score with a quantity over the background, and the mean of that [GeV] in all events\n"
        "and in passing ones:",
        "",
        "| | correlation | all | at 1e-3 | at 1e-4 | at 1e-5 |",
        "|---|---|---|---|---|---|",
    ]
    for title, key in (("HT", "ht"), ("visible mass", "mass")):
        shape = measured["sculpting"][key]
        cells = ["-" if one["mean"] is None else f"{one['mean']:.0f}" for one in shape["mean_passing"]]
        lines.append(f"| {title} | {shape['spearman']:.2f} | {shape['mean_all']:.0f} | {' | '.join(cells)} |")
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
