"""Plots of the table, as SVG: the same figures give the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from l1models.reproduce.row import Row
from l1models.reproduce.steps import SIGNALS

# What the plot of efficiencies shows: more would hide one another.
_SHOWN = ("ae-events-", "nae-events-", "nae-energy-s", "menu", "pca", "flow", "classifier-")
_RATES = (1e-3, 1e-4, 1e-5)
matplotlib.rcParams.update({"svg.hashsalt": "l1models", "svg.fonttype": "none"})


def efficiencies(rows: dict[tuple[str, str], Row], path: Path) -> None:
    """One panel per signal: efficiency at three background efficiencies, with the first seed's 95 % interval."""
    models = [model for model in sorted({model for model, _ in rows}) if model.startswith(_SHOWN) and " " not in model]
    models.sort(key=lambda model: model.startswith("classifier"))
    figure, panels = plt.subplots(1, len(SIGNALS), figsize=(3.2 * len(SIGNALS), 4.2), sharey=True)
    for signal, axes in zip(SIGNALS, panels, strict=True):
        for number, model in enumerate(models):
            if (model, signal) not in rows:
                continue
            row = rows[model, signal]
            values = [float(np.mean(seeds)) for seeds in row.efficiency]
            down = [max(0.0, value - low) for value, (low, _) in zip(values, row.intervals, strict=True)]
            up = [max(0.0, high - value) for value, (_, high) in zip(values, row.intervals, strict=True)]
            at = np.array(_RATES) * 1.05 ** (number - len(models) / 2)
            style = "o-" if model.startswith(("ae", "nae")) else "s:"
            # The classifier of the panel's signal is one line to the reader.
            colour = "black" if model.startswith("classifier") else f"C{number}"
            label = model.split("-")[0] if model.startswith("classifier") else model
            axes.errorbar(at, values, [down, up], fmt=style, color=colour, markersize=3, linewidth=0.8, label=label)
        axes.plot(_RATES, _RATES, color="0.6", linestyle=":")
        axes.set(xscale="log", yscale="log", xlabel="background efficiency", title=signal, ylim=(3e-6, 1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("signal efficiency")
    panels[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.01, 1))
    _save(figure, path)


def areas(rows: dict[tuple[str, str], Row], path: Path) -> None:
    """AUC of every model and signal, a point per seed."""
    models = sorted({model for model, _ in rows})
    figure, axes = plt.subplots(figsize=(7, 0.28 * len(models) + 1.2))
    for number, signal in enumerate(SIGNALS):
        present = [(at, rows[model, signal].auc) for at, model in enumerate(models) if (model, signal) in rows]
        axes.plot(
            [auc for _, seeds in present for auc in seeds],
            [at + 0.1 * (number - 2) for at, seeds in present for _ in seeds],
            "o",
            markersize=3,
            label=signal,
        )
    axes.set(yticks=range(len(models)), yticklabels=models, xlabel="AUC")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
