"""Finished chunks on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from l1models.generate import decays
from l1models.generate.processes import PROCESSES, Component
from l1models.generate.response import Response
from l1models.generate.simulate import TAU_BANK_DECAYS, Chunk, simulate

COMPONENTS = tuple(component for process in PROCESSES for component in process.components)


@dataclass(frozen=True)
class Order:
    """A chunk to be made: its component, number within the component, and size in accepted events."""

    component: Component
    number: int
    events: int


class Store:
    """Chunks of one seed and response under ``folder``; a chunk made with other settings is never taken."""

    def __init__(self, folder: Path, seed: int, response: Response) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seed = seed
        self.response = response

    def path(self, order: Order) -> Path:
        """Where a chunk is, or will be."""
        identity = json.dumps(
            [self.seed, order.number, order.events, dataclasses.asdict(order.component),
             dataclasses.asdict(self.response), code_fingerprint()],
            sort_keys=True,
        )
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return self.folder / f"{order.component.name}-{order.number:05d}-{digest}.npz"

    def read(self, order: Order) -> Chunk | None:
        """A finished chunk, or None."""
        path = self.path(order)
        if not path.exists():
            return None
        with np.load(path) as stored:
            values = {field.name: stored[field.name] for field in dataclasses.fields(Chunk)}
        scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
        return Chunk(**{**values, **scalars})

    def make(self, order: Order) -> None:
        """Simulate a chunk and keep it; it appears whole or not at all."""
        # The component's place in the table, the chunk's number: no worker count or order of work enters.
        words = [self.seed, COMPONENTS.index(order.component), order.number, order.events]
        chunk = simulate(order.component, words, order.events, self.response, self.tau_bank())
        path = self.path(order)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, **{field.name: getattr(chunk, field.name) for field in dataclasses.fields(Chunk)})
        partial.rename(path)

    def remove(self) -> None:
        """Delete the chunks."""
        shutil.rmtree(self.folder)

    def tau_bank(self) -> decays.Bank:
        """The tau decays that every chunk of this seed draws from."""
        return _tau_bank(self.seed)


_BANKS: dict[int, decays.Bank] = {}


def _tau_bank(seed: int) -> decays.Bank:
    if seed not in _BANKS:
        _BANKS[seed] = decays.make_bank(decays.TAU, TAU_BANK_DECAYS, seed)
    return _BANKS[seed]


def code_fingerprint() -> str:
    """Hash of the sources that decide what an event looks like: a chunk of older code is not mixed in."""
    here = Path(__file__).parent
    names = ("batch.py", "decays.py", "detector.py", "pythia.py", "reconstruct.py", "simulate.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()[:16]


def make_all(store: Store, orders: list[Order], workers: int) -> Iterator[Order]:
    """Make the chunks that are not there yet; yields each as it is finished."""
    if workers == 1:
        for order in orders:
            store.make(order)
            yield order
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running: dict[Future[None], Order] = {pool.submit(store.make, order): order for order in orders}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    order = running.pop(future)
                    future.result()
                    yield order
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
