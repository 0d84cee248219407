"""One chunk: a number of accepted events of one component, from its own seed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.generate import decays, pythia
from l1models.generate.batch import Batch
from l1models.generate.detector import Soft
from l1models.generate.processes import Component
from l1models.generate.reconstruct import misidentified_scale, reconstruct
from l1models.generate.response import Response

TIERS = {"partons": pythia.PARTONS, "hadrons": pythia.HADRONS, "full": pythia.FULL}
BATCH_EVENTS = 2000
TAU_BANK_DECAYS = 20_000
# Accepted events per generated one, below which a component is misconfigured rather than rare.
HOPELESS = 2e-6


@dataclass(frozen=True)
class Chunk:
    """Accepted events of a component and how they came about.

    ``objects`` float32 (n, 19, 4), ``group`` int64 (n,); ``tried`` generated events; ``cross_section_pb`` before
    and ``accepted_pb`` after the filter (leading order); ``cpu_s`` processor time.
    """

    objects: NDArray[np.float32]
    group: NDArray[np.int64]
    tried: int
    cross_section_pb: float
    accepted_pb: float
    cpu_s: float


def soft_of(component: Component) -> Soft:
    """What the response has to add to a component's particles."""
    return Soft(underlying=component.tier != "full", hadronisation=component.tier == "partons")


def simulate(component: Component, seed: list[int], events: int, response: Response, taus: decays.Bank) -> Chunk:
    """Generate until ``events`` are accepted. ``seed``: words that together name this chunk."""
    start = time.process_time()
    sequence = np.random.SeedSequence(seed)
    rng = np.random.default_rng(sequence)
    generator = pythia.Generator(component.settings, TIERS[component.tier], int(sequence.generate_state(1)[0]))
    soft = soft_of(component)
    objects, groups, accepted = [], [], 0
    while accepted < events:
        batch = generator.next(BATCH_EVENTS)
        batch = decay_taus(batch, component, taus, rng)
        passed = reconstruct(batch, soft, response, rng, force_misidentified=component.source == "misidentified")
        objects.append(passed.objects)
        groups.append(passed.group)
        accepted += len(passed.group)
        if accepted < HOPELESS * generator.tried:
            raise InputRefused(f"{component.name}: {accepted} of {generator.tried} generated events pass the filter")
    stands_for = 1.0
    if component.source == "misidentified":
        stands_for *= misidentified_scale(response)
    if component.leptonic_taus:
        stands_for *= taus.leptonic_fraction
    sigma = generator.cross_section_pb
    return Chunk(
        np.concatenate(objects)[:events],
        np.concatenate(groups)[:events],
        generator.tried,
        sigma,
        sigma * stands_for * accepted / generator.tried,
        time.process_time() - start,
    )


def decay_taus(batch: Batch, component: Component, bank: decays.Bank, rng: np.random.Generator) -> Batch:
    """The events with their taus decayed."""
    taus = np.flatnonzero(np.abs(batch.pdg) == decays.TAU)
    if len(taus) == 0:
        return batch
    choices = np.flatnonzero(bank.leptonic) if component.leptonic_taus else np.arange(len(bank))
    entries = rng.choice(choices, len(taus))
    polarisation = decays.tau_polarisation(component.taus, batch, taus, rng)
    return decays.decay(batch, taus, entries, bank, polarisation, rng)
