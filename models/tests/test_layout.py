"""The hardware grid, against the rules of the event contract."""

from __future__ import annotations

import numpy as np
import pytest

from l1models import layout


def event(*objects: tuple[int, float, float, float]) -> np.ndarray:
    """One event (1, 19, 3) with the given (slot, pT, eta, phi)."""
    values = np.zeros((1, layout.OBJECTS, 3), np.float32)
    for slot, *kinematics in objects:
        values[0, slot] = kinematics
    return values


@pytest.mark.parametrize(
    ("kinematics", "codes"),
    [
        ((0.24, 1.0, 1.0), (0, 0, 0)),  # pT below half an LSB: absent
        ((0.25, 0.0, 0.0), (1, 0, 0)),  # half up
        ((30.0, 0.010875 * 7, 0.0), (60, 7, 0)),
        ((3000.0, -5.557125, 0.0), (4095, -511, 0)),  # overflow, last eta code
        ((10.0, 0.0, np.pi), (20, 0, -288)),  # +pi wraps
        ((10.0, 0.0, -np.pi), (20, 0, -288)),
    ],
)
def test_rounding(kinematics: tuple[float, float, float], codes: tuple[int, int, int]) -> None:
    assert tuple(layout.to_codes(event((1, *kinematics)))[0, :, 1]) == codes


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (event((1, np.nan, 0, 0)), "not finite"),
        (event((1, -1, 0, 0)), "negative pT"),
        (event((1, 10, 5.6, 0)), "eta"),
        (event((1, 10, 0, 3.2)), "phi"),
        (event((0, 10, 1, 0)), "MET"),
    ],
)
def test_values_outside_the_grid_are_refused(values: np.ndarray, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        layout.to_codes(values)


def test_codes_survive_words_and_physical_values() -> None:
    rng = np.random.default_rng(4)
    shape = (500, layout.OBJECTS)
    pt = rng.integers(0, layout.PT_CODE_MAX + 1, shape) * (rng.random(shape) < 0.7)
    eta = rng.integers(-layout.ETA_CODE_MAX, layout.ETA_CODE_MAX + 1, shape) * (pt > 0)
    eta[:, 0] = 0
    phi = rng.integers(layout.PHI_CODE_MIN, layout.PHI_CODE_MAX + 1, shape) * (pt > 0)
    codes = np.stack([pt, eta, phi], axis=1).astype(np.int16)
    np.testing.assert_array_equal(layout.to_codes(layout.to_physical(codes)), codes)
    words = layout.to_words(codes).astype(np.int64)
    np.testing.assert_array_equal(words & 0xFFF, pt)
    np.testing.assert_array_equal(((words >> 12 & 0x3FF) ^ 0x200) - 0x200, eta)
    np.testing.assert_array_equal(((words >> 22 & 0x3FF) ^ 0x200) - 0x200, phi)
