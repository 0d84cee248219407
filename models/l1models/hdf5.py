"""Recordings in the ADC2021 layout: dataset ``Particles`` (N, 19, 4) of pT, eta, phi, class.

Ours add ``process`` (one small integer per event; its attributes ``names`` and ``background`` say what each
value is and whether it belongs to the Standard Model background) and ``source_group`` (the generated parton
event: events that share one are not independent). Files without them are read as one background process
with every event its own group. Layout: ADC2021 challenge, Govorkova et al., arXiv:2107.02157.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.errors import InputRefused

BLOCK_EVENTS = 65536
CHUNK_EVENTS = 4096  # events of an HDF5 chunk


@dataclass(frozen=True)
class Events:
    """Some events of a recording: ``codes`` int16 (N, 3, 19), ``process`` (N,), ``source_group`` int64 (N,)."""

    codes: NDArray[np.int16]
    process: NDArray[np.int16]
    source_group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Contents:
    """What a recording says of itself: event count, process names, and which of them are background."""

    events: int
    process_names: tuple[str, ...]
    background: tuple[bool, ...]


@dataclass(frozen=True)
class Recording:
    """A whole recording in physical units: ``particles`` float32 (N, 19, 4) of pT [GeV], eta, phi [rad], class.

    ``process`` int16 (N,) counts in ``process_names``; ``source_group`` int64 (N,).
    """

    particles: NDArray[np.float32]
    process: NDArray[np.int16]
    source_group: NDArray[np.int64]
    process_names: tuple[str, ...]
    background: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.particles)


def write(path: Path, recording: Recording, attributes: Mapping[str, str | int]) -> None:
    """Write a recording with root ``attributes``; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".part")
    count = len(recording)
    rows = min(CHUNK_EVENTS, max(count, 1))
    # No times in the file: the same events give the same bytes.
    with h5py.File(partial, "w", track_order=False) as file:
        compressed = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "track_times": False}
        file.create_dataset("Particles", data=recording.particles, chunks=(rows, layout.OBJECTS, 4), **compressed)
        file.create_dataset("Particles_Names", data=np.array(layout.PARTICLES_NAMES), track_times=False)
        file.create_dataset("Particles_Classes", data=np.array(layout.PARTICLES_CLASSES), track_times=False)
        process = file.create_dataset("process", data=recording.process, chunks=(rows,), **compressed)
        process.attrs["names"] = list(recording.process_names)
        process.attrs["background"] = np.array(recording.background, dtype=np.int8)
        file.create_dataset("source_group", data=recording.source_group, chunks=(rows,), **compressed)
        for name, value in attributes.items():
            file.attrs[name] = value
    partial.rename(path)


def contents(path: Path) -> Contents:
    """Describe a recording, refusing files that are not of the layout."""
    with _open(path) as file:
        count = len(file["Particles"])
        if "process" not in file:
            return Contents(count, ("background",), (True,))
        attributes = file["process"].attrs
        names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in attributes["names"])
        return Contents(count, names, tuple(bool(flag) for flag in attributes["background"]))


def blocks(path: Path, start: int = 0, stop: int | None = None, size: int = BLOCK_EVENTS) -> Iterator[Events]:
    """Yield events ``start`` to ``stop`` in file order, ``size`` at a time, rounded to the hardware grid."""
    with _open(path) as file:
        particles = file["Particles"]
        end = len(particles) if stop is None else min(stop, len(particles))
        for first in range(start, end, size):
            rows = slice(first, min(first + size, end))
            count = rows.stop - rows.start
            block = particles[rows]
            try:
                codes = layout.to_codes(block)
                _check_classes(block, codes)
            except ValueError as fault:
                raise InputRefused(f"{path}: events {rows.start}..{rows.stop - 1}: {fault}") from fault
            yield Events(
                codes,
                file["process"][rows] if "process" in file else np.zeros(count, dtype=np.int16),
                file["source_group"][rows] if "source_group" in file else np.arange(rows.start, rows.stop),
            )


def read(path: Path, start: int = 0, stop: int | None = None) -> Events:
    """Events ``start`` to ``stop`` at once: 114 bytes per event, so millions fit in memory."""
    parts = list(blocks(path, start, stop))
    if not parts:
        raise InputRefused(f"{path}: expected at least one event in {start}..{stop}, received none")
    return Events(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.process for part in parts]),
        np.concatenate([part.source_group for part in parts]),
    )


def recordings(path: Path, size: int = BLOCK_EVENTS) -> Iterator[Recording]:
    """The file in order, ``size`` events at a time, in the physical units it holds: nothing is rounded or checked."""
    described = contents(path)
    with _open(path) as file:
        for first in range(0, described.events, size):
            rows = slice(first, min(first + size, described.events))
            count = rows.stop - rows.start
            yield Recording(
                file["Particles"][rows],
                file["process"][rows] if "process" in file else np.zeros(count, dtype=np.int16),
                file["source_group"][rows] if "source_group" in file else np.arange(rows.start, rows.stop),
                described.process_names,
                described.background,
            )


def attributes(path: Path) -> dict[str, str]:
    """The root attributes of a recording, as text."""
    with _open(path) as file:
        return {name: v.decode() if isinstance(v, bytes) else str(v) for name, v in file.attrs.items()}


def _check_classes(particles: NDArray[np.floating], codes: NDArray[np.int16]) -> None:
    # An object whose class is not its slot's means that the file orders its objects in another way.
    stated = particles[..., 3]
    wrong = (codes[:, 0] > 0) & (stated != 0) & (stated != layout.CLASS_OF_SLOT)
    if wrong.any():
        event, slot = np.argwhere(wrong)[0]
        raise ValueError(
            f"object {slot} of event {event} in the block: expected class {layout.CLASS_OF_SLOT[slot]:.0f}, "
            f"received {stated[event, slot]:.0f}"
        )


def _open(path: Path) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except OSError as fault:
        raise InputRefused(f"{path}: not a readable HDF5 file: {fault}") from fault
    shape = file["Particles"].shape if "Particles" in file else None
    if shape is None or len(shape) != 3 or shape[1:] != (layout.OBJECTS, 4):
        file.close()
        raise InputRefused(f"{path}: expected a dataset Particles of shape (N, {layout.OBJECTS}, 4), received {shape}")
    return file
