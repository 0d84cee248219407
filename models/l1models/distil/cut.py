"""The score below which a student rejects, and what that costs, on a recording of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models.report.thresholds import effective_events, rate_interval, threshold_at

# Working points of the teacher at which the loss is stated.
RATES = (1e-3, 1e-4, 1e-5)

Scores = NDArray[np.float32]
Groups = NDArray[np.int64]


def cut_at(student: Scores, survivors: float) -> float:
    """The lowest student's score of background events that goes on to the teacher, as the float32 that it is."""
    return float(threshold_at(student, survivors))


def kept(student: Scores, teacher: Scores, groups: Groups, cut: float) -> list[dict[str, Any]]:
    """Of the background events that the teacher accepts at each of `RATES`, those that reach it, with a 95 % interval.

    Clopper and Pearson's at the effective number of events: those of one group count as one.
    """
    points = []
    for rate in RATES:
        threshold = threshold_at(teacher, rate)
        accepted = teacher >= threshold
        count, reached = int(accepted.sum()), int((accepted & (student >= np.float32(cut))).sum())
        effective = effective_events(groups[accepted]) if count else 0.0
        low, high = rate_interval(reached * effective / max(count, 1), effective)
        points.append(
            {
                "target_rate": rate,
                "threshold": float(threshold),
                "accepted": count,
                "kept": reached,
                "low": low,
                "high": high,
            }
        )
    return points
