"""A finished training run on disk: everything `export` needs to write the bundle again, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.train import config as configuration
from l1models.train.model import Model, Params

_ARRAYS, _RECORD = "arrays.npz", "run.json"


@dataclass(frozen=True)
class TrainingRun:
    """``settings``: the configuration as read; ``provenance``: data, seeds, versions and how the phases went;
    ``background``: int16 (n, 57) background events outside the training set, for the parity set."""

    settings: dict[str, Any]
    provenance: dict[str, Any]
    params: Params
    background: NDArray[np.int16]

    def config(self) -> configuration.Config:
        """The configuration, checked again."""
        return configuration.parse(self.settings, "run")

    def model(self) -> Model:
        """The model that was trained."""
        return self.config().build_model()


def save(run: TrainingRun, folder: Path) -> None:
    """Write the run into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    leaves = jax.tree.leaves(run.params)
    arrays = {f"parameter_{number:03d}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
    np.savez(folder / _ARRAYS, background=run.background, **arrays)  # type: ignore[arg-type]
    record = {"settings": run.settings, "provenance": run.provenance}
    (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n")


def load(folder: Path) -> TrainingRun:
    """Read a run written by `save`."""
    try:
        record = json.loads((folder / _RECORD).read_text())
        arrays = dict(np.load(folder / _ARRAYS))
    except (OSError, ValueError) as fault:
        raise InputRefused(f"{folder}: expected a training run ({_RECORD}, {_ARRAYS}): {fault}") from fault
    background = arrays.pop("background")
    model = configuration.parse(record["settings"], str(folder / _RECORD)).build_model()
    shape = jax.eval_shape(model.initialise, jax.random.key(0))
    params = jax.tree.unflatten(jax.tree.structure(shape), [arrays[name] for name in sorted(arrays)])
    return TrainingRun(record["settings"], record["provenance"], params, background)
