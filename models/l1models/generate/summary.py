"""What came out, next to what is known: multiplicities, missing momentum, the W edge and the Z peak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.hdf5 import Recording

PEAK_BIN = 2.0  # GeV
COUNTS = ("events", "groups")


def summarise(recording: Recording) -> dict[str, dict[str, float]]:
    """Figures per process: means of multiplicities, MET and HT [GeV], and mass peaks [GeV] where there are any."""
    findings = {}
    for label, name in enumerate(recording.process_names):
        objects = recording.particles[recording.process == label]
        pt = objects[..., 0].astype(np.float64)
        row = {
            "events": float(len(objects)),
            "groups": float(len(np.unique(recording.source_group[recording.process == label]))),
            "electrons": float((pt[:, layout.ELECTRONS] > 0).sum(1).mean()),
            "muons": float((pt[:, layout.MUONS] > 0).sum(1).mean()),
            "jets": float((pt[:, layout.JETS] > 0).sum(1).mean()),
            "met": float(pt[:, 0].mean()),
            "ht": float(pt[:, layout.JETS].sum(1).mean()),
        }
        row["mt_peak"] = peak(transverse_mass(objects))
        masses = pair_masses(objects)
        if len(masses) > 20:
            row["pair_mass_peak"] = peak(masses)
        findings[name] = row
    return findings


def transverse_mass(objects: NDArray[np.float32]) -> NDArray[np.float64]:
    """Transverse mass [GeV] of the leading lepton and the missing momentum, (n,)."""
    first = np.stack([objects[:, layout.ELECTRONS.start], objects[:, layout.MUONS.start]], axis=1).astype(np.float64)
    lepton = first[np.arange(len(first)), np.argmax(first[..., 0], axis=1)]
    met = objects[:, 0].astype(np.float64)
    return np.sqrt(2 * lepton[:, 0] * met[:, 0] * (1 - np.cos(lepton[:, 2] - met[:, 2])))


def pair_masses(objects: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mass [GeV] of the two leading electrons or, where there are none, muons, over 15 GeV each."""
    masses = []
    for slots in (layout.ELECTRONS, layout.MUONS):
        a, b = (objects[:, slots.start + i].astype(np.float64) for i in (0, 1))
        both = b[:, 0] > 15
        a, b = a[both], b[both]
        masses.append(np.sqrt(2 * a[:, 0] * b[:, 0] * (np.cosh(a[:, 1] - b[:, 1]) - np.cos(a[:, 2] - b[:, 2]))))
    return np.concatenate(masses)


def peak(values: NDArray[np.float64]) -> float:
    """The fullest bin's neighbourhood mean; insensitive to tails, in the values' unit."""
    counts, edges = np.histogram(values, bins=np.arange(0, 200 + PEAK_BIN, PEAK_BIN))
    centre = edges[np.argmax(np.convolve(counts, np.ones(3), "same"))] + PEAK_BIN / 2
    near = values[np.abs(values - centre) < 2 * PEAK_BIN]
    return float(near.mean()) if len(near) else float("nan")


def table(findings: dict[str, dict[str, float]], path: Path) -> str:
    """The figures as text."""
    keys = ("events", "groups", "electrons", "muons", "jets", "met", "ht", "mt_peak", "pair_mass_peak")
    lines = [str(path), f"{'process':10s}" + "".join(f"{key:>15s}" for key in keys)]
    for name, row in findings.items():
        lines.append(f"{name:10s}" + "".join(_cell(key, row) for key in keys))
    return "\n".join(lines)


def _cell(key: str, row: dict[str, float]) -> str:
    if key not in row:
        return f"{'-':>15s}"
    return f"{row[key]:15.{0 if key in COUNTS else 2}f}"
