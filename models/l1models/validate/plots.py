"""One picture per distribution, all processes of a recording in it."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from l1models.validate.distributions import QUANTITIES, Contents


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
