"""The training set a planned run asks for: some processes only, some events only, or with signal mixed in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from l1models import hdf5
from l1models.errors import InputRefused
from l1models.study.plan import PlannedRun
from l1models.train.data import Background, read_background, sha256


def read(planned: PlannedRun, background: Path, signal: Path | None) -> Background:
    """The run's training and validation events; signal goes into the training events alone."""
    entry = planned.entry
    data = read_background(
        background, planned.settings.get("validation_events", 20000), entry.events or None, entry.processes or None
    )
    contamination = entry.contamination
    if not contamination.fraction:
        return data
    if signal is None:
        raise InputRefused(f"{planned.name}: expected --signal with {contamination.process} events, received none")
    names = hdf5.contents(signal).process_names
    if contamination.process not in names:
        raise InputRefused(f"{signal}: expected events of {contamination.process}, received {', '.join(names)}")
    wanted = round(contamination.fraction * len(data.training))
    events = hdf5.read(signal)
    candidates = np.flatnonzero(events.process == names.index(contamination.process))
    if len(candidates) < wanted:
        raise InputRefused(f"{signal}: expected {wanted} events of {contamination.process}, received {len(candidates)}")
    # The last ones of the file: a report can measure on the first.
    mixed = np.concatenate([data.training, events.codes[candidates[-wanted:]].reshape(-1, 57)])
    provenance = {
        **data.provenance,
        "contamination": {
            "file": signal.name,
            "sha256": sha256(signal),
            "process": contamination.process,
            "events": wanted,
        },
    }
    return replace(data, training=mixed, provenance=provenance)
