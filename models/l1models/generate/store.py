"""Finished chunks on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l1models.generate import decays, heavy_flavour
from l1models.generate.processes import PROCESSES, Component
from l1models.generate.response import Response
from l1models.generate.simulate import Chunk, simulate

BANK_SEEDS = 10_000  # a bank's seed is the run's times this, plus the particle's code
COMPONENTS = tuple(component for process in PROCESSES for component in process.components)


@dataclass(frozen=True)
class Order:
    """A chunk to be made: its component, number within the component, and size in accepted events."""

    component: Component
    number: int
    events: int


class Store:
    """Chunks of one seed and response under ``folder``; a chunk made with other settings is never taken."""

    def __init__(self, folder: Path, seed: int, response: Response, bank_decays: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seed = seed
        self.response = response
        self.bank_decays = bank_decays

    def path(self, order: Order) -> Path:
        """Where a chunk is, or will be."""
        identity = json.dumps(
            [
                self.seed,
                self.bank_decays,
                order.number,
                order.events,
                dataclasses.asdict(order.component),
                dataclasses.asdict(self.response),
                code_fingerprint(),
            ],
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
        chunk = simulate(order.component, words, order.events, self.response, self._banks())
        keep(self.path(order), dataclasses.asdict(chunk))

    def prepare(self, orders: list[Order]) -> None:
        """Make the decay banks that the orders draw from, unless they are there."""
        heavy = any(order.component.source == "heavy-flavour" for order in orders)
        for pdg in (decays.TAU, *(heavy_flavour.SPECIES if heavy else ())):
            path = self._bank_path(pdg)
            if not path.exists():
                bank = decays.make_bank(pdg, self.bank_decays, BANK_SEEDS * self.seed + pdg)
                keep(path, dataclasses.asdict(bank))

    def _bank_path(self, pdg: int) -> Path:
        return self.folder / f"bank-{pdg}-{self.seed}-{self.bank_decays}-{code_fingerprint()}.npz"

    def _banks(self) -> dict[int, decays.Bank]:
        if self.folder not in _BANKS:
            known = {}
            for pdg in (decays.TAU, *heavy_flavour.SPECIES):
                path = self._bank_path(pdg)
                if path.exists():
                    with np.load(path) as stored:
                        known[pdg] = decays.Bank(**stored)
            _BANKS[self.folder] = known
        return _BANKS[self.folder]

    def remove(self, orders: list[Order]) -> None:
        """Delete these chunks and the banks, and the folder if nothing else is in it."""
        for path in (*map(self.path, orders), *map(self._bank_path, (decays.TAU, *heavy_flavour.SPECIES))):
            for found in (path, *self.folder.glob(f"{path.stem}.*.part")):
                found.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


# Banks a worker has loaded: one reading per process, not per chunk.
_BANKS: dict[Path, dict[int, decays.Bank]] = {}


def keep(path: Path, values: dict[str, Any]) -> None:
    """The file appears whole or not at all, whoever else writes it."""
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.savez(file, **values)
    partial.rename(path)


def code_fingerprint() -> str:
    """Hash of the sources that decide what an event looks like: a chunk of older code is not mixed in."""
    here = Path(__file__).parent
    names = ("batch.py", "decays.py", "detector.py", "heavy_flavour.py", "pythia.py", "reconstruct.py", "simulate.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()[:16]
