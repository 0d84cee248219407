"""Writes the bundle of a training run: model.onnx, manifest.json, parity.json and CARD.md."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.export import card, parity
from l1models.export.graph import Graph
from l1models.train.representation import FEATURES, INPUT_LAYOUT
from l1models.train.runs import TrainingRun
from l1models.train.trainer import scores

MODEL, MANIFEST, PARITY, CARD, CALIBRATION = "model.onnx", "manifest.json", "parity.json", "CARD.md", "calibration.json"
FORMAT = 1


def write_bundle(run: TrainingRun, folder: Path) -> dict[str, Any]:
    """Write or renew the bundle in ``folder`` and return its manifest.

    A calibration and a performance table already there stay if they were made for the same model.onnx, and go
    otherwise: thresholds of another model must never be used.
    """
    config, model = run.config(), run.model()
    graph = Graph(FEATURES)
    onnx_bytes = graph.finish(model.write(graph, run.params), config.name, config.version)
    digest = hashlib.sha256(onnx_bytes).hexdigest()
    manifest = {
        "format": FORMAT,
        "name": config.name,
        "version": config.version,
        "sha256": digest,
        "input_layout": INPUT_LAYOUT,
        "score": f"{model.meaning}; larger is more anomalous; >= 0, no unit",
        "architecture": model.describe(),
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(run.params)),
        "flop_per_event": graph.flop_per_event,
        "parity": {"file": PARITY, "tolerance": parity.tolerances()},
        "training": {"settings": run.settings, **run.provenance},
    }
    codes = parity.inputs(run.background)
    write_files(folder, manifest, onnx_bytes, codes, scores(model, run.params, codes))
    return manifest


def write_files(
    folder: Path,
    manifest: dict[str, Any],
    onnx_bytes: bytes,
    codes: NDArray[np.int16],
    expected: NDArray[np.float32],
) -> None:
    """Write the files of a bundle; ``expected`` are the scores (n,) of the parity inputs ``codes`` (n, 57)."""
    digest = manifest["sha256"]
    folder.mkdir(parents=True, exist_ok=True)
    if belongs_to(folder / CALIBRATION) not in (None, digest):
        (folder / CALIBRATION).unlink()
    if len(codes) < 256:
        raise InputRefused(f"{folder}: a parity set has at least 256 inputs, received {len(codes)}")
    (folder / MODEL).write_bytes(onnx_bytes)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    (folder / PARITY).write_text(parity.to_json(codes, expected, manifest["parity"]["tolerance"]))
    (folder / CARD).write_text(card.render(manifest, card.performance(folder / CARD, digest)))


def belongs_to(calibration: Path) -> str | None:
    """The sha256 of the model a calibration was made for; None if there is no calibration, "" if it doesn't say."""
    if not calibration.exists():
        return None
    try:
        content = json.loads(calibration.read_text())
    except ValueError as fault:
        raise InputRefused(f"{calibration}: not readable as JSON: {fault}") from fault
    return str(content.get("model_sha256", "")) if isinstance(content, dict) else ""
