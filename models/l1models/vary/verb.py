"""`models/run vary`: a changed copy of a recording, to see what a model makes of it."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np

from l1models import hdf5
from l1models.errors import InputRefused
from l1models.generate.response import Response
from l1models.vary import response

_SEED_WORD = 0x7A127


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("recording", type=Path, metavar="FILE.h5", help="the recording to change")
    parser.add_argument("--jet-energy", type=float, default=1.0, metavar="F", help="jet momenta times F")
    parser.add_argument("--met-resolution", type=float, default=1.0, metavar="F", help="MET resolution times F (>= 1)")
    parser.add_argument("--grid", choices=["recorded", "calorimeter"], default="recorded", help="grid of the angles")
    parser.add_argument("--mix", action="append", default=[], metavar="NAME=F", help="a process weighs F times as much")
    parser.add_argument("--process", nargs="+", default=[], metavar="NAME", help="keep only these processes")
    parser.add_argument("--groups", choices=["all", "even", "odd"], default="all", help="half of the parton events")
    parser.add_argument("--seed", type=int, default=1, help="of the smearing and of the events dropped (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5", help="the recording to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, change, write; the changes are applied in the order of the options above."""
    if arguments.jet_energy <= 0:
        raise InputRefused(f"--jet-energy: expected a positive factor, received {arguments.jet_energy}")
    if not arguments.out.parent.is_dir():
        raise InputRefused(f"--out: {arguments.out.parent} is not a folder")
    shares = dict(_share(text) for text in arguments.mix)
    r, rng = Response(), np.random.default_rng([arguments.seed, _SEED_WORD])
    changed = []
    for block in hdf5.recordings(arguments.recording):
        unknown = [name for name in arguments.process if name not in block.process_names]
        if unknown:
            raise InputRefused(f"--process: expected {', '.join(block.process_names)}, received {unknown[0]!r}")
        keep = np.ones(len(block), dtype=bool)
        if arguments.process:
            keep &= np.isin(np.array(block.process_names)[block.process], arguments.process)
        if arguments.groups != "all":
            keep &= block.source_group % 2 == (arguments.groups == "odd")
        block = response.thin(response.select(block, keep), shares, rng)
        objects = block.particles
        if arguments.jet_energy != 1:
            objects = response.scale_jets(objects, arguments.jet_energy, r)
        if arguments.met_resolution != 1:
            objects = response.smear_met(objects, arguments.met_resolution, r, rng)
        if arguments.grid == "calorimeter":
            objects = response.coarsen(objects)
        changed.append(
            hdf5.Recording(objects, block.process, block.source_group, block.process_names, block.background)
        )
    if not changed or not sum(map(len, changed)):
        raise InputRefused(f"{arguments.recording}: no event is left")
    whole = hdf5.Recording(
        np.concatenate([block.particles for block in changed]),
        np.concatenate([block.process for block in changed]),
        np.concatenate([block.source_group for block in changed]),
        changed[0].process_names,
        changed[0].background,
    )
    origin = {name: text for name, text in hdf5.attributes(arguments.recording).items() if name != "validation"}
    hdf5.write(arguments.out, whole, origin | {"varied": _command(arguments)})
    print(f"{arguments.out}: {len(whole)} events", file=sys.stderr)


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        factor = float(value)
    except ValueError:
        factor = -1.0
    if not name or not 0 < factor < np.inf:
        raise InputRefused(f"--mix: expected NAME=F with a positive F, received {text!r}")
    return name, factor


def _command(arguments: argparse.Namespace) -> str:
    words = ["models/run", "vary", arguments.recording.name]
    for option, value, default in (
        ("--jet-energy", arguments.jet_energy, 1.0),
        ("--met-resolution", arguments.met_resolution, 1.0),
        ("--grid", arguments.grid, "recorded"),
        ("--groups", arguments.groups, "all"),
    ):
        words += [option, str(value)] if value != default else []
    for item in arguments.mix:
        words += ["--mix", item]
    words += ["--process", *arguments.process] if arguments.process else []
    return shlex.join([*words, "--seed", str(arguments.seed), "--out", arguments.out.name])
