"""One chunk: a number of accepted events of one component, from its own seed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.generate import decays, heavy_flavour, pythia
from l1models.generate.batch import Batch
from l1models.generate.detector import Soft
from l1models.generate.processes import Component
from l1models.generate.reconstruct import reconstruct, reconstruct_misidentified
from l1models.generate.response import Response

TIERS = {"partons": pythia.PARTONS, "hadrons": pythia.HADRONS, "full": pythia.FULL}
# Generated events at a time: enough that the cost per batch vanishes, fewer where few are wanted.
BATCH_EVENTS = 2000
BATCH_PER_EVENT = 10
Banks = Mapping[int, decays.Bank]
# Accepted events per generated one, below which a component is misconfigured rather than rare.
HOPELESS = 2e-6


@dataclass(frozen=True)
class Chunk:
    """Accepted events of a component and how they came about.

    ``objects`` float32 (n, 19, 4), ``group`` int64 (n,); ``tried`` generated events; ``cross_section_pb`` before
    and ``accepted_pb`` after the filter (leading order); ``accepted`` events passed, of which the last few are not
    kept where they exceed the chunk, and ``lost`` more were copies beyond the cap; ``cpu_s`` processor time.
    """

    objects: NDArray[np.float32]
    group: NDArray[np.int64]
    tried: int
    cross_section_pb: float
    accepted_pb: float
    accepted: int
    lost: int
    cpu_s: float


def soft_of(component: Component) -> Soft:
    """What the response has to add to a component's particles."""
    return Soft(underlying=component.tier != "full", hadronisation=component.tier == "partons")


def simulate(component: Component, seed: list[int], events: int, response: Response, banks: Banks) -> Chunk:
    """Generate until ``events`` are accepted. ``seed``: words that together name this chunk."""
    start = time.process_time()
    sequence = np.random.SeedSequence(seed)
    rng = np.random.default_rng(sequence)
    settings = component.settings + (heavy_flavour.STABLE if component.source == "heavy-flavour" else ())
    generator = pythia.Generator(settings, TIERS[component.tier], int(sequence.generate_state(1)[0]))
    soft = soft_of(component)
    size = min(BATCH_EVENTS, BATCH_PER_EVENT * events)
    objects, groups, accepted, lost = [], [], 0, 0
    while accepted < events:
        batch = generator.next(size)
        if component.source == "misidentified":
            passed, stands_for = reconstruct_misidentified(
                batch, soft, response, rng, component.copies, component.candidates
            )
        elif component.source == "heavy-flavour":
            passed = reconstruct(
                heavy_flavour.copies(batch, banks, component.draws, response, rng), soft, response, rng
            )
            stands_for = 1 / component.draws
        else:
            batch = decay_taus(batch.repeated(component.copies), component, banks[decays.TAU], rng)
            passed = reconstruct(batch, soft, response, rng)
            stands_for = 1 / component.copies
            if component.leptonic_taus:
                stands_for *= banks[decays.TAU].leptonic_fraction
        keep = heavy_flavour.cap(passed.group)
        objects.append(passed.objects[keep])
        groups.append(passed.group[keep])
        accepted += int(keep.sum())
        lost += int((~keep).sum())
        if accepted < HOPELESS * generator.tried:
            raise InputRefused(f"{component.name}: {accepted} of {generator.tried} generated events pass the filter")
    sigma = generator.cross_section_pb
    return Chunk(
        np.concatenate(objects)[:events],
        np.concatenate(groups)[:events],
        generator.tried,
        sigma,
        sigma * component.yield_factor * stands_for * (accepted + lost) / generator.tried,
        accepted,
        lost,
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
