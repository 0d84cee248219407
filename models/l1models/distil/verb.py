"""`models/run distil`: a student of a bundle, which rejects in the stream what its teacher cannot accept."""

from __future__ import annotations

import argparse
import hashlib
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models import hdf5
from l1models.errors import InputRefused
from l1models.train import threads

VERSION = "0.1.0"
# Where the stream looks for it (src/model/student.ts).
FOLDER = "student"
_VALIDATION_EVENTS = 2000
_PARITY_EVENTS = 160


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--teacher", type=Path, required=True, metavar="BUNDLE", help="bundle to take scores from")
    parser.add_argument("--background", type=Path, required=True, metavar="FILE.h5", help="recording to train on")
    parser.add_argument(
        "--calibration", type=Path, required=True, metavar="FILE.h5", help="another recording, to set the cut on"
    )
    parser.add_argument(
        "--survivors", type=float, default=0.01, metavar="F", help="background to pass to the teacher (default 0.01)"
    )
    parser.add_argument("--steps", type=int, default=6000, metavar="N", help="training steps (default 6000)")
    parser.add_argument("--seed", type=int, default=1, help="of the training (default 1)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: 2)")
    parser.add_argument(
        "--out", type=Path, metavar="BUNDLE", help=f"folder of the student (default: {FOLDER} in the teacher's)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Train on the teacher's scores, set the cut on the other recording, write the student's bundle."""
    if not 0 < arguments.survivors < 1:
        raise InputRefused(f"--survivors: expected a fraction between 0 and 1, received {arguments.survivors}")
    threads.limit(arguments.threads)
    from l1models.distil import cut as cuts
    from l1models.distil import student as students
    from l1models.export import bundle, parity
    from l1models.export.graph import Graph
    from l1models.report import scoring
    from l1models.train.data import read_background, sha256
    from l1models.train.representation import FEATURES, INPUT_LAYOUT

    teacher = scoring.load(arguments.teacher)
    out = arguments.out or arguments.teacher / FOLDER
    data = read_background(arguments.background, _VALIDATION_EVENTS)
    digest = sha256(arguments.calibration)
    if digest == data.provenance["sha256"]:
        raise InputRefused(f"--calibration {arguments.calibration}: expected another recording than --background")
    codes, groups = _background(arguments.calibration)
    started = time.perf_counter()
    student = students.train(data.training, teacher.scores(data.training), arguments.steps, arguments.seed)
    seconds = time.perf_counter() - started

    name = f"{teacher.name}-student"
    graph = Graph(FEATURES)
    onnx_bytes = graph.finish(student.write(graph), name, VERSION)
    own = student.score(codes)
    cut = cuts.cut_at(own, arguments.survivors)
    points = cuts.kept(own, teacher.scores(codes), groups, cut)
    manifest: dict[str, Any] = {
        "format": bundle.FORMAT,
        "name": name,
        "version": VERSION,
        "sha256": hashlib.sha256(onnx_bytes).hexdigest(),
        "input_layout": INPUT_LAYOUT,
        "score": f"estimate of the score of {teacher.name} where that is high; >= 0, no unit",
        "architecture": student.describe(),
        "parameters": student.parameters,
        "flop_per_event": graph.flop_per_event,
        "parity": {"file": bundle.PARITY, "tolerance": parity.tolerances(absolute=parity.RELATIVE * cut)},
        "cascade": {
            "teacher": {key: teacher.manifest[key] for key in ("name", "version", "sha256")},
            "cut": cut,
            "survivors": float(np.mean(own >= np.float32(cut))),
            "background": {"name": arguments.calibration.name, "sha256": digest},
            "background_events": len(own),
            "kept": points,
        },
        "training": {
            "settings": {"steps": arguments.steps, "survivors": arguments.survivors},
            "dataset": data.provenance,
            "seed": arguments.seed,
            "phases": [
                {"objective": "distillation", "steps": arguments.steps, "seconds": round(seconds, 1), "completed": True}
            ],
            "device": "cpu",
            "command": _command(arguments),
            "tools": {tool: version(tool) for tool in ("jax", "numpy", "onnx")} | {"python": platform.python_version()},
        },
    }
    shown = np.linspace(0, len(data.validation) - 1, _PARITY_EVENTS).astype(int)
    inputs = parity.inputs(data.validation[shown])
    bundle.write_files(out, manifest, onnx_bytes, inputs, student.score(inputs))
    shares = ", ".join(f"{p['kept']} of {p['accepted']} at {p['target_rate']:g}" for p in points)
    print(f"{out}: {manifest['cascade']['survivors']:.2%} of the background survive; kept {shares}", file=sys.stderr)


def _background(path: Path) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Codes (N, 57) and groups (N,) of a recording's background events."""
    described = hdf5.contents(path)
    events = hdf5.read(path)
    background = np.array(described.background)[events.process]
    if not background.any():
        raise InputRefused(f"{path}: expected background events, received only {', '.join(described.process_names)}")
    return events.codes[background].reshape(-1, 57), events.source_group[background]


def _command(arguments: argparse.Namespace) -> str:
    words = ["models/run", "distil", "--teacher", f"models/bundles/{arguments.teacher.name}"]
    words += ["--background", arguments.background.name, "--calibration", arguments.calibration.name]
    words += ["--survivors", f"{arguments.survivors:g}", "--steps", str(arguments.steps), "--seed", str(arguments.seed)]
    return shlex.join([*words, "--threads", str(arguments.threads)])
