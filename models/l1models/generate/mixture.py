"""How many events of which component make a recording, and their shuffled order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from l1models.generate.processes import BY_NAME, Process
from l1models.generate.store import Order, Store
from l1models.hdf5 import Recording

CHUNK_EVENTS = 4000
# Accepted events in the first chunk of each component of a process that has several: it fixes their shares.
# Those of heavy flavour cost ten times the others.
PILOT_EVENTS = {"prompt": 1000, "misidentified": 1000, "heavy-flavour": 300}
MAX_BANK_DECAYS = 20_000  # half a minute of Pythia for taus
# Sets the shuffle's random numbers apart from those of chunks, whose seeds have four words.
SHUFFLE_WORD = 0x5FFF1E


def shared_out(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """``total`` in whole parts proportional to ``weights`` (largest remainders)."""
    exact = total * weights / weights.sum()
    parts = np.floor(exact).astype(np.int64)
    largest = np.argsort(parts - exact, kind="stable")
    parts[largest[: total - parts.sum()]] += 1
    return parts


def bank_decays(events: int) -> int:
    """Size of each decay bank: as large as is affordable for the number of events wanted."""
    return int(np.clip(2 * events, 1000, MAX_BANK_DECAYS))


def pilots(process: Process, events: int, chunk_events: int) -> list[Order]:
    """The chunks that must exist before a process of ``events`` events can be shared out among its components."""
    if len(process.components) == 1:
        return []
    most = min(chunk_events, max(events // 10, 20))
    return [Order(component, 0, min(PILOT_EVENTS[component.source], most)) for component in process.components]


def orders(process: Process, events: int, chunk_events: int, store: Store) -> list[tuple[Order, int]]:
    """Every chunk of a process, and how many of its events are taken. The pilots must be in the store."""
    first = pilots(process, events, chunk_events)
    if not first:
        return _chunks(process, 0, events, 0, chunk_events)
    rates = []
    for order in first:
        chunk = store.read(order)
        assert chunk is not None, f"pilot of {order.component.name} is missing"
        rates.append(chunk.accepted_pb)
    wanted: list[tuple[Order, int]] = []
    for place, (order, count) in enumerate(zip(first, shared_out(events, np.array(rates)), strict=True)):
        taken = min(order.events, int(count))
        wanted.append((order, taken))
        wanted += _chunks(process, place, int(count) - taken, 1, chunk_events)
    return wanted


def _chunks(process: Process, place: int, events: int, number: int, chunk_events: int) -> list[tuple[Order, int]]:
    component = process.components[place]
    sizes = [min(chunk_events, events - start) for start in range(0, events, chunk_events)]
    return [(Order(component, number + i, size), size) for i, size in enumerate(sizes)]


def collect(store: Store, parts: dict[str, list[tuple[Order, int]]], seed: int) -> Recording:
    """All events of all processes, shuffled."""
    objects, process, group = [], [], []
    first_group = 0
    for label, taken in enumerate(parts.values()):
        for order, count in taken:
            chunk = store.read(order)
            assert chunk is not None, f"chunk {order.number} of {order.component.name} is missing"
            objects.append(chunk.objects[:count])
            _, compact = np.unique(chunk.group[:count], return_inverse=True)
            group.append(first_group + compact.astype(np.int64))
            process.append(np.full(count, label, dtype=np.int16))
            first_group += int(compact.max()) + 1 if count else 0
    order_of = np.random.default_rng([seed, SHUFFLE_WORD]).permutation(sum(len(part) for part in process))
    names = tuple(parts)
    return Recording(
        np.concatenate(objects)[order_of],
        np.concatenate(process)[order_of],
        np.concatenate(group)[order_of],
        names,
        tuple(BY_NAME[name].background for name in names),
    )
