"""Background events for training: those whose process the recording calls background, never a signal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from l1models import hdf5
from l1models.errors import InputRefused

# Attributes of a generated recording that are enough to make it again.
_ORIGIN = ("command", "seed", "code")


@dataclass(frozen=True)
class Background:
    """``training`` and ``validation`` codes int16 (N, 57) in ``hw-int16-planar`` order, and where they come from."""

    training: NDArray[np.int16]
    validation: NDArray[np.int16]
    provenance: dict[str, Any]


def read_background(
    path: Path, validation_events: int, events: int | None = None, processes: tuple[str, ...] | None = None
) -> Background:
    """Read the background of a recording; ``events`` takes that many from its start, ``processes`` these alone.

    The last ``validation_events`` are set apart, and with them every event of the file that shares a generated
    parton event with one of them. Processes with many such events therefore weigh more there than in the file: the
    validation score watches the training and is no measure of performance.
    """
    described = hdf5.contents(path)
    if not any(described.background):
        raise InputRefused(f"{path}: expected background events, received only {', '.join(described.process_names)}")
    flags = np.array(described.background)
    if processes is not None:
        missing = set(processes) - {name for name, flag in zip(described.process_names, flags, strict=True) if flag}
        if missing:
            raise InputRefused(
                f"{path}: expected background {', '.join(sorted(missing))}, "
                f"received {', '.join(described.process_names)}"
            )
        flags = flags & np.isin(described.process_names, processes)
    parts, groups = [], []
    for block in hdf5.blocks(path):
        kept = flags[block.process]
        parts.append(block.codes[kept].reshape(-1, 57))
        groups.append(block.source_group[kept])
        if events is not None and sum(map(len, parts)) >= events:
            break
    codes, group = np.concatenate(parts)[:events], np.concatenate(groups)[:events]
    if len(codes) <= validation_events:
        raise InputRefused(
            f"{path}: expected more than the {validation_events} background events kept for validation, "
            f"received {len(codes)}"
        )
    held = np.isin(group, group[len(group) - validation_events :])
    provenance = {
        "file": path.name,
        "sha256": sha256(path),
        "background_processes": [name for name, flag in zip(described.process_names, flags, strict=True) if flag],
        "training_events": int(np.sum(~held)),
        "validation_events": int(np.sum(held)),
        "made_by": made_by(path),
    }
    return Background(codes[~held], codes[held], provenance)


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_by(path: Path) -> dict[str, str]:
    """How the recording says it was made: those of `_ORIGIN` among its attributes; empty for files from elsewhere."""
    with h5py.File(path, "r") as file:
        found = {name: file.attrs[name] for name in _ORIGIN if name in file.attrs}
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in found.items()}
