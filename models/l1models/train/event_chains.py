"""Metropolis chains over events: objects move, appear and disappear, and every point of a chain is a legal event.

An absent object is all-zero, so the events of a recording lie on pieces of different dimension, one per choice of
filled slots. A chain in the 57 numbers alone never finds them, and learns nothing about how many objects an
event has. Here a density is meant with respect to a reference measure on legal events: for every object that is
there, dh d(eta) d(phi) / volume with the hardness h = log(1 + pT / 10 GeV) and ``volume`` a setting per class, and
one for every slot that is empty. Moves that change the number of objects follow Green (Biometrika 82 (1995) 711).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from l1models import layout
from l1models.train.representation import PT_SCALE

Energy = Callable[["EventState"], jax.Array]

_CLASSES = (layout.MET, layout.ELECTRONS, layout.MUONS, layout.JETS)
_FIRST = np.array([part.start for part in _CLASSES])
_LENGTH = np.array([part.stop - part.start for part in _CLASSES])
_CLASS_OF_SLOT = np.repeat(np.arange(4), _LENGTH)


class EventState(NamedTuple):
    """Events (N, 19) each: hardness log(1 + pT / 10 GeV), 0 where absent; eta; phi in radians, [-pi, pi)."""

    hardness: jax.Array
    eta: jax.Array
    phi: jax.Array


def hardness(pt: ArrayLike) -> NDArray[np.float64]:
    """log(1 + pT / 10 GeV) of pT in GeV."""
    return np.log1p(np.asarray(pt, np.float64) / PT_SCALE)


def from_codes(codes: jax.Array) -> EventState:
    """Events of ``hw-int16-planar`` codes (N, 57)."""
    pt, eta, phi = jnp.split(jnp.asarray(codes, jnp.float32), 3, axis=1)
    return EventState(jnp.log1p(pt * (layout.PT_LSB / PT_SCALE)), eta * layout.ETA_LSB, phi * layout.PHI_LSB)


def to_codes(state: EventState) -> jax.Array:
    """Codes (N, 57), not rounded, as `Representation.features` takes them."""
    pt = jnp.expm1(state.hardness) * (PT_SCALE / layout.PT_LSB)
    return jnp.concatenate([pt, state.eta / layout.ETA_LSB, state.phi / layout.PHI_LSB], axis=1)


@dataclass(frozen=True)
class Acceptance:
    """The space of legal events: lowest pT in GeV and largest |eta| of MET, electrons, muons, jets (ADC2021,
    arXiv:2107.02157), the pT an electron or a muon must reach, and the largest pT of anything."""

    lowest_pt: tuple[float, float, float, float] = (0.5, 3.0, 3.0, 15.0)
    largest_eta: tuple[float, float, float, float] = (0.0, 3.0, 2.1, 4.0)
    lepton_pt: float = 23.0
    largest_pt: float = layout.PT_CODE_MAX * layout.PT_LSB


@dataclass(frozen=True)
class EventSpace:
    """Legal events and their reference measure; ``volume``: of an electron or muon, and of a jet."""

    lepton_volume: float
    jet_volume: float
    acceptance: Acceptance = Acceptance()

    def lowest(self) -> np.ndarray:
        """Lowest hardness per slot, (19,)."""
        return hardness(self.acceptance.lowest_pt)[_CLASS_OF_SLOT].astype(np.float32)

    def largest_eta(self) -> np.ndarray:
        """Largest |eta| per slot, (19,)."""
        return np.array(self.acceptance.largest_eta, np.float32)[_CLASS_OF_SLOT]

    def legal(self, state: EventState) -> jax.Array:
        """Whether an electron or muon is hard enough, (N,)."""
        needed = float(hardness(self.acceptance.lepton_pt))
        return (
            jnp.maximum(state.hardness[:, layout.ELECTRONS.start], state.hardness[:, layout.MUONS.start])
            >= needed - 1e-5
        )

    def nearest(self, pt: jax.Array, eta: jax.Array, phi: jax.Array) -> EventState:
        """Legal events near any points (N, 19): objects under half the lowest hardness are left out, the others
        sorted by pT; the harder leading lepton is raised to what the filter asks."""
        lowest, high = jnp.asarray(self.lowest()), float(hardness(self.acceptance.largest_pt))
        eta = jnp.clip(eta, -self.largest_eta(), self.largest_eta())
        phi = _wrap(phi)
        pt = jnp.where(pt >= lowest / 2, jnp.clip(pt, lowest, high), 0.0)
        pt = pt.at[:, 0].set(jnp.maximum(pt[:, 0], lowest[0]))
        needed = float(hardness(self.acceptance.lepton_pt))
        order = jnp.concatenate([part.start + jnp.argsort(-pt[:, part], axis=1) for part in _CLASSES], axis=1)
        pt, eta, phi = (jnp.take_along_axis(values, order, axis=1) for values in (pt, eta, phi))
        electron = pt[:, layout.ELECTRONS.start] >= pt[:, layout.MUONS.start]
        for part, leads in ((layout.ELECTRONS, electron), (layout.MUONS, ~electron)):
            first = pt[:, part.start]
            pt = pt.at[:, part.start].set(jnp.where(leads, jnp.maximum(first, needed), first))
        present = pt > 0
        return EventState(pt, eta * present, phi * present)


def sample_events(
    space: EventSpace, energy: Energy, state: EventState, key: jax.Array, steps: int
) -> tuple[EventState, jax.Array]:
    """Chains with ``steps`` proposals each, for the density exp(-energy) with respect to the reference measure.

    Returns the events and the accepted fraction of the proposals that were to change something. A proposal draws
    a class, then either adds or removes its softest object or moves one of its objects: a coordinate or all three
    anew, or all three a little. The pT of an object stays between those of its neighbours, so the order stays.
    """
    lowest, largest_eta = jnp.asarray(space.lowest()), jnp.asarray(space.largest_eta())
    high = float(hardness(space.acceptance.largest_pt))
    first, length = jnp.asarray(_FIRST), jnp.asarray(_LENGTH)
    volume = jnp.asarray([1.0, space.lepton_volume, space.lepton_volume, space.jet_volume])
    rows = jnp.arange(state.hardness.shape[0])

    def step(carry: tuple[EventState, jax.Array], key: jax.Array) -> Any:
        now, value = carry
        count = len(rows)
        uniform = jax.random.uniform(key, (9, count))
        kind = jnp.minimum((uniform[0] * 4).astype(int), 3)
        in_class = jnp.asarray(_CLASS_OF_SLOT)[None, :] == kind[:, None]
        number = jnp.sum(in_class & (now.hardness > 0), axis=1)
        structural = (uniform[1] < 0.4) & (kind > 0)
        birth = structural & (uniform[2] < 0.5)
        death = structural & ~birth
        index = jnp.where(
            birth, number, jnp.where(death, number - 1, jnp.floor(uniform[3] * number).astype(number.dtype))
        )
        possible = jnp.where(birth, number < length[kind], number > 0)
        slot = first[kind] + jnp.clip(index, 0, length[kind] - 1)
        above = jnp.where(index > 0, now.hardness[rows, jnp.maximum(slot - 1, 0)], high)
        below = jnp.where(index < number - 1, now.hardness[rows, jnp.minimum(slot + 1, layout.OBJECTS - 1)], 0.0)
        below = jnp.where(birth, 0.0, below)
        below = jnp.maximum(below, lowest[slot])
        reach = largest_eta[slot]
        old = [values[rows, slot] for values in now]
        fresh = [
            below + (above - below) * uniform[4],
            reach * (2 * uniform[5] - 1),
            jnp.pi * (2 * uniform[6] - 1),
        ]
        near = [
            old[0] + 0.3 * (uniform[4] - 0.5),
            jnp.where(reach > 0, old[1] + 0.8 * (uniform[5] - 0.5), 0.0),
            _wrap(old[2] + 0.8 * (uniform[6] - 0.5)),
        ]
        # Of 8 moves: 1 each for pT, eta, phi anew, 1 for all three anew, 4 for all three a little.
        move = jnp.minimum((uniform[7] * 8).astype(int), 7)
        new = []
        for coordinate in range(3):
            anew = birth | (move == coordinate) | (move == 3)
            moved = jnp.where(anew, fresh[coordinate], jnp.where(move >= 4, near[coordinate], old[coordinate]))
            new.append(jnp.where(death, 0.0, moved))
        inside = death | ((new[0] >= below) & (new[0] <= above) & (jnp.abs(new[1]) <= reach))
        chosen = jnp.arange(layout.OBJECTS)[None, :] == slot[:, None]
        proposal = EventState(
            *(jnp.where(chosen, value[:, None], values) for value, values in zip(new, now, strict=True))
        )
        room = jnp.log((above - below) * 2 * reach * 2 * jnp.pi / volume[kind] + 1e-30)
        log_ratio = jnp.where(birth, room, 0.0) - jnp.where(death, room, 0.0)
        new_value = energy(proposal)
        log_ratio = log_ratio + value - new_value
        accepted = possible & inside & space.legal(proposal) & (jnp.log(uniform[8]) < log_ratio)
        moved_state = EventState(*(jnp.where(accepted[:, None], a, b) for a, b in zip(proposal, now, strict=True)))
        return (moved_state, jnp.where(accepted, new_value, value)), (jnp.sum(accepted), jnp.sum(possible))

    (end, _), (accepted, tried) = jax.lax.scan(step, (state, energy(state)), jax.random.split(key, steps))
    return end, jnp.sum(accepted) / jnp.maximum(jnp.sum(tried), 1)


def _wrap(phi: jax.Array) -> jax.Array:
    return phi - 2 * jnp.pi * jnp.floor(phi / (2 * jnp.pi) + 0.5)
