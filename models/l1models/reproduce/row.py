"""One line of the results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One model and signal. ``auc`` and ``efficiency`` (3 rates): one value per seed; intervals of the first seed."""

    auc: list[float]
    auc_error: float
    efficiency: list[list[float]]
    intervals: list[tuple[float, float]]
    passing: list[int]
