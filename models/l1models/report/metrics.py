"""AUC, thresholds and signal efficiencies with uncertainties that know of events sharing a generated parton event.

Events of one ``source_group`` are one cluster; without groups every event is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Groups = NDArray[np.int64]
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Efficiency:
    """Signal efficiency at a background efficiency, with its 95 % interval.

    ``low`` and ``high`` join in quadrature the signal's counting error (Wilson, E. B. Wilson, JASA 22 (1927)
    209, with the effective number of events) and the threshold's (the threshold moved by 1.96 standard deviations
    of the number of background events above it).
    """

    background: float
    signal: float
    low: float
    high: float
    threshold: float
    background_passing: int


def threshold_at(background: Scores, rate: float) -> np.float32:
    """The smallest background score with at most floor(rate x N) background scores at or above it."""
    return _threshold_of_count(np.sort(background), int(np.floor(rate * len(background) * (1 + 1e-12))))


def _threshold_of_count(ascending: Scores, count: int) -> np.float32:
    if count <= 0:
        return np.float32(np.nextafter(ascending[-1], np.float32(np.inf)))
    if count >= len(ascending):
        return np.float32(ascending[0])
    value = ascending[-count]
    if ascending[-count - 1] == value:
        # Tied with an event that may not pass: the next higher score.
        above = np.searchsorted(ascending, value, side="right")
        return np.nextafter(value, np.float32(np.inf)) if above == len(ascending) else np.float32(ascending[above])
    return np.float32(value)


def efficiency_at(
    background: Scores, background_groups: Groups, signal: Scores, signal_groups: Groups, rate: float
) -> Efficiency:
    """Signal efficiency at background efficiency ``rate``."""
    ascending = np.sort(background)
    threshold = threshold_at(background, rate)
    passing = background >= threshold
    count = int(passing.sum())
    selected = signal >= threshold
    value = float(selected.mean())
    low, high = _wilson(value, _effective_size(selected, signal_groups))
    spread = _Z95 * np.sqrt(_cluster_sum_of_squares(passing.astype(float), background_groups))
    tighter = _threshold_of_count(ascending, int(np.floor(max(0.0, count - spread))))
    looser = _threshold_of_count(ascending, int(np.ceil(count + max(spread, 3.0))))
    down = np.hypot(value - low, value - float(np.mean(signal >= tighter)))
    up = np.hypot(high - value, float(np.mean(signal >= looser)) - value)
    return Efficiency(rate, value, max(0.0, float(value - down)), min(1.0, float(value + up)), float(threshold), count)


def auc(background: Scores, background_groups: Groups, signal: Scores, signal_groups: Groups) -> tuple[float, float]:
    """Area under the ROC curve (ties count half) and its standard error.

    The error is DeLong's (Biometrics 44 (1988) 837), summed over clusters (Obuchowski, Biometrics 53 (1997) 567).
    """
    of_signal = _fraction_below(np.sort(background), signal)
    of_background = 1 - _fraction_below(np.sort(signal), background)
    value = float(of_signal.mean())
    variance = sum(
        _cluster_sum_of_squares(placements - value, groups) / len(placements) ** 2
        for placements, groups in ((of_signal, signal_groups), (of_background, background_groups))
    )
    return value, float(np.sqrt(variance))


def _fraction_below(ascending: Scores, scores: Scores) -> NDArray[np.float64]:
    left, right = (np.searchsorted(ascending, scores, side=side) for side in ("left", "right"))
    return (left + right) / (2 * len(ascending))


def _cluster_sum_of_squares(values: NDArray[np.float64], groups: Groups) -> float:
    _, cluster = np.unique(groups, return_inverse=True)
    return float(np.sum(np.bincount(cluster, weights=values) ** 2))


def _effective_size(selected: NDArray[np.bool_], groups: Groups) -> float:
    p = selected.mean()
    if p in (0.0, 1.0):
        return float(len(np.unique(groups)))
    variance = _cluster_sum_of_squares(selected - p, groups) / len(selected) ** 2
    return float(p * (1 - p) / variance)


def _wilson(p: float, n: float) -> tuple[float, float]:
    centre, half = p + _Z95**2 / (2 * n), _Z95 * np.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n**2))
    scale = 1 + _Z95**2 / n
    return float((centre - half) / scale), float((centre + half) / scale)
