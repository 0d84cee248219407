"""The hardware grid: rounding, packing, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from l1models import layout


def one(pt: float, eta: float = 0.0, phi: float = 0.0) -> np.ndarray:
    objects = np.zeros((1, layout.OBJECTS, 4))
    objects[0, 1, :3] = pt, eta, phi
    return objects


@pytest.mark.parametrize(
    ("physical", "codes"),
    [
        ((0.5, 0.010875, 2 * np.pi / 576), (1, 1, 1)),
        ((0.24, 1.0, 1.0), (0, 0, 0)),
        ((0.25, 0.0, 0.0), (1, 0, 0)),
        ((23.3, -1.0, -1.0), (47, -92, -92)),
        ((5000.0, 511 * 0.010875, 3.1415), (4095, 511, -288)),
        ((10.0, -511 * 0.010875, -3.1415925), (20, -511, -288)),
        ((10.0, 0.0, 287.4 * 2 * np.pi / 576), (20, 0, 287)),
    ],
)
def test_rounding_to_the_nearest_code(physical: tuple[float, ...], codes: tuple[int, ...]) -> None:
    assert tuple(layout.to_codes(one(*physical))[0, :, 1].tolist()) == codes


def test_words_put_each_code_in_its_bits() -> None:
    codes = layout.to_codes(one(23.5, -0.010875, -2 * np.pi / 576))
    words = layout.to_words(codes)
    assert words[0, 1] == 47 | (0x3FF << 12) | (0x3FF << 22)
    assert words[0, 0] == 0


def test_codes_survive_the_way_back() -> None:
    rng = np.random.default_rng(1)
    pt, eta, phi = rng.integers(1, 4096, 500), rng.integers(-511, 512, 500), rng.integers(-288, 288, 500)
    codes = np.zeros((500, 3, layout.OBJECTS), dtype=np.int16)
    codes[:, 0, 4], codes[:, 1, 4], codes[:, 2, 4] = pt, eta, phi
    assert np.array_equal(layout.to_codes(layout.to_physical(codes)), codes)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (one(float("nan")), "not finite"),
        (one(10.0, float("inf")), "not finite"),
        (one(-1.0), "negative pT"),
        (one(10.0, 5.6), "eta"),
        (one(10.0, 0.0, 3.2), "phi"),
    ],
)
def test_what_is_off_the_grid_is_refused(objects: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layout.to_codes(objects)
