"""Plots of a report: score distributions and ROC curves, one file each per model."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from l1models.report.scoring import Scored
from l1models.report.tables import RATES
from l1models.report.thresholds import threshold_at


def score_distribution(model: str, background: Scored, signals: dict[str, Scored], path: Path) -> None:
    """Normalised distributions of log10(score), the thresholds marked."""
    smallest = 1e-9
    everything = [background.scores, *(s.scores for s in signals.values())]
    logs = [np.log10(np.maximum(scores, smallest)) for scores in everything]
    edges = np.linspace(np.quantile(logs[0], 1e-4), max(float(log.max()) for log in logs), 100).tolist()
    figure, axes = plt.subplots(figsize=(7, 4.5))
    axes.hist(logs[0], edges, density=True, color="0.8", label="background")
    for name, log in zip(signals, logs[1:], strict=True):
        axes.hist(log, edges, density=True, histtype="step", label=name)
    for rate in RATES:
        at = np.log10(threshold_at(background.scores, rate))
        axes.axvline(at, color="0.4", linewidth=0.8, linestyle="--")
        axes.text(at, 1.01, f"{rate:.0e}", transform=axes.get_xaxis_transform(), rotation=60, fontsize=7)
    axes.set(xlabel="log10(score)", ylabel="density", yscale="log")
    axes.set_title(model, pad=26)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    _save(figure, path)


def roc(model: str, background: Scored, signals: dict[str, Scored], path: Path) -> None:
    """Signal efficiency against background efficiency, both logarithmic."""
    ascending = np.sort(background.scores)
    rates = np.logspace(np.log10(5 / len(ascending)), 0, 200)
    cuts = ascending[len(ascending) - np.maximum(1, (rates * len(ascending)).astype(int))]
    figure, axes = plt.subplots(figsize=(5.5, 5))
    for name, scored in signals.items():
        found = len(scored.scores) - np.searchsorted(np.sort(scored.scores), cuts, side="left")
        axes.plot(rates, found / len(scored.scores), label=name)
    axes.plot(rates, rates, color="0.6", linestyle=":", label="by chance")
    axes.set(xlabel="background efficiency", ylabel="signal efficiency", xscale="log", yscale="log", title=model)
    axes.set_ylim(1e-4, 1.2)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
