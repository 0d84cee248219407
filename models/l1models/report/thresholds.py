"""Thresholds, what events that share a parton event are worth, and intervals of rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Scores = NDArray[np.float32]
Groups = NDArray[np.int64]


def threshold_at(background: Scores, rate: float) -> np.float32:
    """The lowest score of the at most floor(rate x N) background events that pass; above all where none may."""
    falling = np.sort(background)[::-1]
    allowed = int(np.floor(rate * len(falling) + 1e-6))
    if allowed >= len(falling):
        return np.float32(falling[-1])
    passing = int(np.searchsorted(-falling, -falling[allowed]))
    return np.float32(falling[passing - 1]) if passing else np.nextafter(falling[0], np.float32(np.inf))


def effective_events(groups: Groups) -> float:
    """Kish's effective number of events (Survey Sampling, 1965)."""
    counts = np.unique(groups, return_counts=True)[1]
    return float(counts.sum() ** 2 / np.sum(counts.astype(np.int64) ** 2))


def rate_interval(passing: float, events: float) -> tuple[float, float]:
    """95 % interval of a rate from independent events (Clopper and Pearson, Biometrika 26 (1934) 404)."""
    low = 0.0 if passing <= 0 else float(beta.ppf(0.025, passing, events - passing + 1))
    high = 1.0 if passing >= events else float(beta.ppf(0.975, passing + 1, events - passing))
    return low, high
