"""What a changed detector does to events already recorded.

A recording holds measured objects, not particles, so the changes are those that objects determine: jets below the
threshold are not in it and cannot rise over it, and the extra MET smearing uses the response's average energy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.errors import InputRefused
from l1models.generate.response import Response
from l1models.hdf5 import Recording

# The calorimeter's granularity in eta and phi, in hardware codes: 0.0435 and 2 pi / 144.
_CALORIMETER_CODES = 4
_CALORIMETER = np.r_[layout.MET, layout.ELECTRONS, layout.JETS]


def scale_jets(objects: NDArray[np.float32], factor: float, r: Response) -> NDArray[np.float32]:
    """Jet momenta times ``factor``; jets that fall under the threshold vanish; MET takes up the change.

    ``objects`` (n, 19, 4). MET moves by minus the change of the jets' vector sum, before the threshold.
    """
    changed = objects.copy()
    jets = objects[:, layout.JETS].astype(np.float64)
    change = (factor - 1) * jets[..., 0]
    x = -(change * np.cos(jets[..., 2])).sum(axis=1)
    y = -(change * np.sin(jets[..., 2])).sum(axis=1)
    changed[:, layout.JETS, 0] *= np.float32(factor)
    lost = changed[:, layout.JETS, 0] <= r.jet_min_pt
    changed[:, layout.JETS][lost] = 0
    return _move_met(changed, x, y)


def smear_met(objects: NDArray[np.float32], times: float, r: Response, rng: np.random.Generator) -> NDArray[np.float32]:
    """MET with a resolution ``times`` (1 or more) as wide: Gaussian noise on each component.

    The width before is that of pile-up and the underlying event at their means (16 GeV with the default response);
    what an event's own soft energy adds to it is not recorded.
    """
    if times < 1:
        raise InputRefused(f"--met-resolution: expected 1 or more, received {times}")
    soft = r.underlying_density * 4 * np.pi * r.visible_max_eta
    width = np.sqrt(r.met_stochastic**2 * soft + r.pile_up * r.met_per_pile_up**2)
    x, y = width * np.sqrt(times**2 - 1) * rng.normal(size=(2, len(objects)))
    return _move_met(objects.copy(), x, y)


def coarsen(objects: NDArray[np.float32]) -> NDArray[np.float32]:
    """Angles of MET, electrons and jets on the calorimeter's grid, four times coarser than the words'."""
    changed = objects.copy()
    for column, lsb in ((1, layout.ETA_LSB), (2, layout.PHI_LSB)):
        step = _CALORIMETER_CODES * lsb
        changed[:, _CALORIMETER, column] = np.round(objects[:, _CALORIMETER, column].astype(np.float64) / step) * step
    return _within_pi(changed)


def thin(recording: Recording, shares: dict[str, float], rng: np.random.Generator) -> Recording:
    """Another mixture: each process named in ``shares`` weighs that many times as much, by dropping events."""
    for name in shares:
        if name not in recording.process_names:
            raise InputRefused(f"--mix: expected one of {', '.join(recording.process_names)}, received {name!r}")
    factor = np.array([shares.get(name, 1.0) for name in recording.process_names])
    return select(recording, rng.random(len(recording)) < (factor / factor.max())[recording.process])


def select(recording: Recording, keep: NDArray[np.bool_]) -> Recording:
    """Only the events marked in ``keep``; groups and process labels stay."""
    return dataclasses.replace(
        recording,
        particles=recording.particles[keep],
        process=recording.process[keep],
        source_group=recording.source_group[keep],
    )


def _move_met(objects: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    pt, phi = objects[:, 0, 0].astype(np.float64), objects[:, 0, 2].astype(np.float64)
    x, y = x + pt * np.cos(phi), y + pt * np.sin(phi)
    objects[:, 0, 0], objects[:, 0, 2] = np.hypot(x, y), np.arctan2(y, x)
    objects[:, 0, 3] = layout.CLASS_OF_SLOT[0] * (objects[:, 0, 0] > 0)
    return _within_pi(objects)


def _within_pi(objects: NDArray[np.float32]) -> NDArray[np.float32]:
    limit = np.nextafter(np.float32(np.pi), np.float32(0))
    objects[..., 2] = np.clip(objects[..., 2], -limit, limit)
    return objects
