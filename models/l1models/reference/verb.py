"""`models/run reference`: the bundle of a yardstick that a model has to beat, or cannot."""

from __future__ import annotations

import argparse
import hashlib
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l1models.errors import InputRefused
from l1models.train import threads

if TYPE_CHECKING:
    from l1models.reference.reference import Codes, Reference

KINDS = ("ht", "met", "lepton-pt", "objects", "menu", "numbers", "pca", "flow", "classifier")
VERSION = "0.1.0"
_VALIDATION_EVENTS = 20_000
# Of a short recording at most this part is kept for validation.
_VALIDATION_PART = 5
_PARITY_EVENTS = 160
_STEPS = {"classifier": 6000, "flow": 6000}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--kind", choices=KINDS, required=True, help="the yardstick")
    parser.add_argument("--background", type=Path, required=True, metavar="FILE.h5", help="recording to fit it on")
    parser.add_argument("--signal", type=Path, metavar="FILE.h5", help="classifier: recording with the signal")
    parser.add_argument("--process", metavar="NAME", help="classifier: the signal's name in that recording")
    parser.add_argument("--components", type=int, default=16, metavar="N", help="pca: components (default 16)")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps of a classifier or flow (default 6000)")
    parser.add_argument("--events", type=int, metavar="N", help="use the first N background events (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the training (default 1)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")


def run(arguments: argparse.Namespace) -> None:
    """Fit on the background, write the bundle. Classifiers see the signal's even groups: test them on the odd ones."""
    if (arguments.kind == "classifier") != bool(arguments.signal and arguments.process):
        raise InputRefused("--signal, --process: expected both with --kind classifier, and with it alone")
    if arguments.steps is None:
        arguments.steps = _STEPS.get(arguments.kind, 0)
    threads.limit(arguments.threads)
    import numpy as np

    from l1models import hdf5
    from l1models.export import parity
    from l1models.reference import classifier, flow
    from l1models.train.data import read_background

    kept_apart = min(_VALIDATION_EVENTS, hdf5.contents(arguments.background).events // _VALIDATION_PART)
    data = read_background(arguments.background, kept_apart, arguments.events)
    started = time.perf_counter()
    signal, provenance = _signal(arguments.signal, arguments.process) if arguments.signal else (None, None)
    fitted = fit(arguments, data.training, signal)
    training: dict[str, Any] = {
        "settings": {"kind": arguments.kind, "components": arguments.components, "steps": arguments.steps},
        "dataset": data.provenance,
        "seed": arguments.seed,
        "phases": [],
        "seconds": round(time.perf_counter() - started, 1),
        "device": "cpu",
        "command": _command(arguments),
        "tools": {name: version(name) for name in ("jax", "numpy", "onnx")} | {"python": platform.python_version()},
    }
    if provenance:
        training["signal"] = provenance
    kept = np.linspace(0, len(data.validation) - 1, _PARITY_EVENTS).astype(int)
    name = f"classifier-{arguments.process}" if arguments.signal else arguments.kind
    tolerance = parity.tolerances()
    if arguments.kind == "flow":
        tolerance = parity.tolerances(flow.TOLERANCE)
    elif arguments.kind == "classifier":
        # Differences of a score from its shift are rounded as the shift is.
        tolerance = parity.tolerances(absolute=parity.RELATIVE * classifier.SHIFT)
    write_bundle(fitted, name, training, data.validation[kept], tolerance, arguments.out)
    print(f"{arguments.out}: {name} fitted in {training['seconds']} s", file=sys.stderr)


def fit(arguments: argparse.Namespace, background: Codes, signal: Codes | None) -> Reference:
    """The yardstick that was asked for."""
    from l1models import layout
    from l1models.reference import classifier, cuts, flow, numbers, pca

    if arguments.kind == "ht":
        return cuts.Momentum("HT", layout.JETS, "scalar sum of the jets' transverse momenta, GeV")
    if arguments.kind == "met":
        return cuts.Momentum("MET", layout.MET, "missing transverse momentum, GeV")
    if arguments.kind == "lepton-pt":
        return cuts.LeptonPt()
    if arguments.kind == "objects":
        return cuts.ObjectCount()
    if arguments.kind == "menu":
        return cuts.Menu.fit(background)
    if arguments.kind == "numbers":
        return numbers.Numbers.fit(background)
    if arguments.kind == "pca":
        if not 0 < arguments.components < background.shape[1]:
            raise InputRefused(
                f"--components: expected 1 to {background.shape[1] - 1}, received {arguments.components}"
            )
        return pca.Pca.fit(background, arguments.components)
    if arguments.kind == "flow":
        return flow.Flow.fit(background, arguments.steps, arguments.seed)
    assert signal is not None
    return classifier.Classifier.fit(arguments.process, background, signal, arguments.steps, arguments.seed)


def _signal(path: Path, process: str) -> tuple[Codes, dict[str, Any]]:
    """The signal's events of even group, codes (N, 57), and what the manifest says of them."""
    from l1models import hdf5
    from l1models.train.data import sha256

    described = hdf5.contents(path)
    if process not in described.process_names:
        raise InputRefused(f"--process: expected {', '.join(described.process_names)}, received {process!r}")
    events = hdf5.read(path)
    wanted = (events.process == described.process_names.index(process)) & (events.source_group % 2 == 0)
    codes = events.codes[wanted].reshape(-1, 57)
    if len(codes) == 0:
        raise InputRefused(f"{path}: expected events of {process} in groups of even number, received none")
    return codes, {"process": process, "file": path.name, "sha256": sha256(path), "events": len(codes)}


def write_bundle(
    fitted: Reference, name: str, training: dict[str, Any], background: Codes, tolerance: dict[str, Any], folder: Path
) -> None:
    """Write the bundle; the same contract as a trained model's. ``tolerance``: of the parity set."""
    from l1models.export import bundle, parity
    from l1models.export.graph import Graph
    from l1models.train.representation import FEATURES, INPUT_LAYOUT

    graph = Graph(FEATURES)
    onnx_bytes = graph.finish(fitted.write(graph), name, VERSION)
    manifest = {
        "format": bundle.FORMAT,
        "name": name,
        "version": VERSION,
        "sha256": hashlib.sha256(onnx_bytes).hexdigest(),
        "input_layout": INPUT_LAYOUT,
        "score": fitted.meaning,
        "architecture": fitted.describe(),
        "parameters": fitted.parameters,
        "flop_per_event": graph.flop_per_event,
        "parity": {"file": bundle.PARITY, "tolerance": tolerance},
        "training": training,
    }
    codes = parity.inputs(background)
    bundle.write_files(folder, manifest, onnx_bytes, codes, fitted.score(codes))


def _command(arguments: argparse.Namespace) -> str:
    words = ["models/run", "reference", "--kind", arguments.kind, "--background", arguments.background.name]
    if arguments.signal:
        words += ["--signal", arguments.signal.name, "--process", arguments.process]
    if arguments.kind in _STEPS:
        words += ["--steps", str(arguments.steps), "--seed", str(arguments.seed)]
    if arguments.kind == "pca":
        words += ["--components", str(arguments.components)]
    if arguments.events:
        words += ["--events", str(arguments.events)]
    return shlex.join([*words, "--out", arguments.out.name])
