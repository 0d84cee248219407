"""Chains over events must sample the density they are given, number of objects included."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from l1models import layout
from l1models.train.event_chains import (
    Acceptance,
    EventSpace,
    EventState,
    from_codes,
    hardness,
    sample_events,
    to_codes,
)
from tests.conftest import random_events

CHAINS = 3000


def start(muons: int = 0) -> EventState:
    """One electron of 30 GeV and MET of 20 GeV in every chain."""
    pt = np.zeros((CHAINS, layout.OBJECTS), np.float32)
    pt[:, 0], pt[:, 1] = hardness(20.0), hardness(30.0)
    zeros = jnp.zeros_like(jnp.asarray(pt))
    return EventState(jnp.asarray(pt), zeros, zeros)


def test_number_and_momenta_of_objects_follow_the_density() -> None:
    """Independent muons: intensity exp(-b - c h) dh d(eta) d(phi) / volume. Counts are Poisson with at most four."""
    space = EventSpace(lepton_volume=20.0, jet_volume=1.0)
    presence, slope = 1.0, 2.0
    low, high = float(space.lowest()[layout.MUONS.start]), float(hardness(Acceptance().largest_pt))

    def energy(state: EventState) -> jax.Array:
        muons = state.hardness[:, layout.MUONS]
        jets = jnp.sum(state.hardness[:, layout.JETS] > 0, axis=1)
        extra = jnp.sum(state.hardness[:, 2:5] > 0, axis=1)
        # Jets and further electrons are forbidden, MET and the electron free: muons alone are tested.
        return jnp.sum((presence + slope * muons) * (muons > 0), axis=1) + 1e4 * (jets + extra)

    end, acceptance = sample_events(space, energy, start(), jax.random.key(1), 800)
    number = np.asarray(jnp.sum(end.hardness[:, layout.MUONS] > 0, axis=1))
    room = 2 * Acceptance().largest_eta[2] * 2 * np.pi / space.lepton_volume
    mean = np.exp(-presence) * room * (np.exp(-slope * low) - np.exp(-slope * high)) / slope
    weights = np.array([mean**n / np.prod(np.arange(1, n + 1)) for n in range(5)])
    expected = weights / weights.sum()
    found = np.bincount(number, minlength=5) / CHAINS
    assert 0.05 < float(acceptance) < 0.95
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(0.25 / CHAINS))
    # With one muon its hardness is exponential above the threshold, its angles flat.
    alone = number == 1
    first = np.asarray(end.hardness[:, layout.MUONS.start])[alone]
    assert first.mean() == pytest.approx(low + 1 / slope, abs=5 * first.std() / np.sqrt(alone.sum()))
    eta = np.asarray(end.eta[:, layout.MUONS.start])[alone]
    flat = 2 * Acceptance().largest_eta[2] / np.sqrt(12)
    assert eta.std() == pytest.approx(flat, rel=5 / np.sqrt(alone.sum()))


def test_every_point_is_a_legal_event() -> None:
    space = EventSpace(1.0, 1.0)
    end, _ = sample_events(space, lambda state: 0.5 * jnp.sum(state.hardness, axis=1), start(), jax.random.key(2), 300)
    pt, eta, phi = (np.asarray(values) for values in end)
    absent = pt == 0
    assert absent.any() and not absent[:, 0].any()
    assert (eta[absent] == 0).all() and (phi[absent] == 0).all()
    assert (pt[~absent] >= np.broadcast_to(space.lowest(), pt.shape)[~absent] - 1e-6).all()
    assert (np.abs(eta) <= space.largest_eta() + 1e-6).all() and (np.abs(phi) <= np.pi + 1e-6).all()
    assert np.maximum(pt[:, 1], pt[:, 5]).min() >= hardness(23.0) - 1e-5
    for part in (layout.ELECTRONS, layout.MUONS, layout.JETS):
        assert (np.diff(pt[:, part], axis=1) <= 1e-6).all()
    assert (pt[:, layout.JETS] > 0).any() and (pt[:, 2:5] > 0).any()


def test_nearest_keeps_legal_events_and_repairs_others() -> None:
    space = EventSpace(1.0, 1.0)
    codes = layout.to_codes(random_events(500, seed=4)).reshape(-1, 57)
    events = from_codes(jnp.asarray(codes))
    eta = jnp.clip(events.eta, -space.largest_eta(), space.largest_eta())
    lead = np.maximum(events.hardness[:, 1], events.hardness[:, 5])
    legal = np.asarray((lead >= hardness(23.0)) & jnp.all(eta == events.eta, axis=1) & (events.hardness[:, 0] > 0.05))
    assert legal.sum() > 50
    kept = space.nearest(*events)
    np.testing.assert_allclose(np.asarray(to_codes(kept))[legal], codes[legal], atol=0.02)
    noise = jax.random.normal(jax.random.key(3), (3, 500, layout.OBJECTS))
    repaired = space.nearest(*(value + 0.5 * extra for value, extra in zip(events, noise, strict=True)))
    assert bool(jnp.all(space.legal(repaired)))
    assert (np.diff(np.asarray(repaired.hardness[:, layout.JETS]), axis=1) <= 0).all()


def test_the_same_key_gives_the_same_chains() -> None:
    space = EventSpace(1.0, 1.0)
    runs = [
        sample_events(space, lambda s: jnp.sum(s.hardness, axis=1), start(), jax.random.key(7), 20)[0] for _ in "ab"
    ]
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)
