"""Scores of bundles with ONNX Runtime, and what they cost."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from l1models import hdf5
from l1models.errors import InputRefused
from l1models.export.bundle import MANIFEST, MODEL
from l1models.export.graph import INPUT, OUTPUT
from l1models.train.representation import INPUT_LAYOUT

BATCH = 1024


@dataclass(frozen=True)
class Bundle:
    """A bundle whose hash and layout were checked, ready to score."""

    folder: Path
    manifest: dict[str, Any]
    session: onnxruntime.InferenceSession

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["name"])

    def scores(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Scores float32 (N,) of codes (N, 57), in padded batches of one size, as the stream scores them."""
        padded = np.zeros((-(-len(codes) // BATCH) * BATCH, codes.shape[1]), np.int16)
        padded[: len(codes)] = codes
        parts = [self.session.run([OUTPUT], {INPUT: part})[0] for part in padded.reshape(-1, BATCH, codes.shape[1])]
        return np.concatenate(parts)[: len(codes)]


@dataclass(frozen=True)
class Scored:
    """Scores of some events with their process (index into ``process_names``) and ``source_group``."""

    scores: NDArray[np.float32]
    process: NDArray[np.int16]
    source_group: NDArray[np.int64]
    process_names: tuple[str, ...]


def load(folder: Path) -> Bundle:
    """Open a bundle, refusing one that does not match its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        model = (folder / MODEL).read_bytes()
    except (OSError, ValueError) as fault:
        raise InputRefused(f"{folder}: expected a bundle ({MANIFEST}, {MODEL}): {fault}") from fault
    digest = hashlib.sha256(model).hexdigest()
    if digest != manifest["sha256"]:
        raise InputRefused(f"{folder / MODEL}: expected sha256 {manifest['sha256']}, received {digest}")
    if manifest["input_layout"] != INPUT_LAYOUT:
        raise InputRefused(f"{folder}: expected input layout {INPUT_LAYOUT}, received {manifest['input_layout']}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return Bundle(folder, manifest, onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))


def score_recording(bundle: Bundle, path: Path, kind: Literal["background", "signal"]) -> Scored:
    """Score the background or the signal events of a recording.

    A recording that names no processes is taken for what is asked of it.
    """
    described = hdf5.contents(path)
    wanted = np.array(described.background) == (kind == "background")
    if len(described.process_names) == 1:
        wanted[:] = True
    parts = []
    for block in hdf5.blocks(path):
        kept = wanted[block.process]
        codes = block.codes[kept].reshape(-1, 57)
        parts.append((bundle.scores(codes), block.process[kept], block.source_group[kept]))
    scores, process, group = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(scores) == 0:
        raise InputRefused(f"{path}: expected {kind} events, received none")
    if not np.isfinite(scores).all():
        raise InputRefused(f"{bundle.folder}: {int(np.sum(~np.isfinite(scores)))} scores of {path} are not finite")
    return Scored(scores, process, group, described.process_names)


def nanoseconds_per_event(bundles: list[Bundle], codes: NDArray[np.int16], batch: int, rounds: int = 15) -> list[float]:
    """Time per event of each bundle on one core, ns: the best of ``rounds`` taken in turn: load hits all alike."""
    events = np.resize(codes, (batch, codes.shape[1]))
    runs = max(1, 65536 // batch)
    best = [np.inf] * len(bundles)
    for _ in range(rounds):
        for number, bundle in enumerate(bundles):
            bundle.session.run([OUTPUT], {INPUT: events})
            start = time.perf_counter_ns()
            for _ in range(runs):
                bundle.session.run([OUTPUT], {INPUT: events})
            best[number] = min(best[number], (time.perf_counter_ns() - start) / runs / batch)
    return best
