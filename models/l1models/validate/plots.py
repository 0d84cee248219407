"""One picture per distribution, all processes of a recording in it."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from l1models.validate.distributions import QUANTITIES, Contents

matplotlib.rcParams.update({"svg.hashsalt": "l1models", "svg.fonttype": "none"})
# What the overview shows, and its bins: enough to see a shape, few enough for a small file.
_OVERVIEW = ("hard_jets", "lepton_pt", "jet_pt", "met", "ht", "mt", "pair_mass", "electrons", "muons")
_BINS = 40


def all_quantities(contents: Contents, folder: Path) -> None:
    """Write ``folder``/QUANTITY.png: normalised distributions with their statistical errors."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, quantity in QUANTITIES.items():
        figure, axes = plt.subplots(figsize=(6, 4))
        centres, width = (quantity.edges[1:] + quantity.edges[:-1]) / 2, np.diff(quantity.edges)
        for name, process in contents.processes.items():
            found = process.distributions[key]
            if not found.values:
                continue
            density = found.counts / width / found.values
            lines = axes.step(centres, density, where="mid", label=name)
            error = np.sqrt(found.counts) / width / found.values
            axes.errorbar(centres, density, error, fmt="none", color=lines[0].get_color(), linewidth=0.6)
        axes.set(xlabel=quantity.label, ylabel="density", yscale="log", title=contents.path.name)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(folder / f"{key}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


def overview(contents: Contents, path: Path) -> None:
    """Nine distributions as one SVG in coarser bins; the same recording gives the same bytes."""
    figure, panels = plt.subplots(3, 3, figsize=(11, 8.5))
    for key, axes in zip(_OVERVIEW, panels.flat, strict=True):
        edges = QUANTITIES[key].edges
        # Whole numbers of bins together; multiplicities as they are.
        joined = max(1, (len(edges) - 1) // _BINS)
        coarse = edges[::joined]
        for name, process in contents.processes.items():
            found = process.distributions[key]
            if found.values:
                counts = found.counts[: (len(coarse) - 1) * joined].reshape(-1, joined).sum(axis=1)
                axes.stairs(counts / np.diff(coarse) / found.values, coarse, label=name)
        axes.set(xlabel=QUANTITIES[key].label, yscale="log")
        axes.minorticks_off()
    handles, names = panels[0, 0].get_legend_handles_labels()
    if handles:
        panels[0, 0].legend(handles, names, fontsize=7)
    figure.suptitle(f"{contents.path.name}: densities")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
