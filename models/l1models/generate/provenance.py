"""What a recording says of how it was made."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import shlex
from importlib.metadata import version

import numpy as np

from l1models.generate.processes import BY_NAME
from l1models.generate.pythia import BASE
from l1models.generate.simulate import TIERS
from l1models.generate.store import Order, Store, code_fingerprint

FIGURES = (
    "events",
    "effective_events",
    "generated",
    "accepted",
    "lost_to_cap",
    "cross_section_pb",
    "accepted_pb",
)
TOOLS = ("pythia8mc", "fastjet", "numpy", "awkward", "h5py")


def describe(store: Store, parts: dict[str, list[tuple[Order, int]]], command: str) -> dict[str, str | int]:
    """Root attributes of the recording; structured ones are JSON."""
    tools = {name: version(name) for name in TOOLS} | {"python": platform.python_version()}
    settings = {
        "pythia_base": BASE,
        "pythia_tiers": TIERS,
        "response": dataclasses.asdict(store.response),
        "components": {
            name: [dataclasses.asdict(component) for component in BY_NAME[name].components] for name in parts
        },
    }
    processes = {name: rates(store, taken) for name, taken in parts.items()}
    return {
        "command": command,
        "seed": store.seed,
        "tools": json.dumps(tools),
        "code": code_fingerprint(),
        "settings": json.dumps(settings),
        "processes": json.dumps(processes),
    }


def reproducing_command(arguments: argparse.Namespace) -> str:
    """The command that makes the same recording: what decides over its content, and nothing else.

    Neither this nor any other attribute may depend on workers, folders or clocks: the same seed gives the same file.
    """
    words = ["models/run", "generate"]
    words += ["--process", *arguments.process] if arguments.process else ["--cocktail", arguments.cocktail or "sm"]
    words += ["--events", str(arguments.events)]
    for item in arguments.mix:
        words += ["--mix", item]
    if arguments.signals:
        words += ["--signals", str(arguments.signals)]
    return shlex.join([*words, "--seed", str(arguments.seed), "--out", arguments.out.name])


def events_per_cpu_second(store: Store, taken: list[tuple[Order, int]]) -> dict[str, float]:
    """Accepted events per second of processor time, per component."""
    accepted: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for order, _ in taken:
        chunk = store.read(order)
        assert chunk is not None, f"chunk {order.number} of {order.component.name} is missing"
        accepted[order.component.name] = accepted.get(order.component.name, 0) + chunk.accepted
        seconds[order.component.name] = seconds.get(order.component.name, 0.0) + chunk.cpu_s
    return {name: accepted[name] / seconds[name] for name in accepted if seconds[name] > 0}


def rates(store: Store, taken: list[tuple[Order, int]]) -> dict[str, object]:
    """Filter efficiency, cross-sections and statistics of a process's components."""
    found: dict[str, dict[str, float]] = {}
    for order, count in taken:
        chunk = store.read(order)
        assert chunk is not None, f"chunk {order.number} of {order.component.name} is missing"
        row = found.setdefault(order.component.name, dict.fromkeys(FIGURES, 0.0))
        copies = np.unique(chunk.group[:count], return_counts=True)[1]
        row["events"] += count
        # Kish: (sum of n)^2 / sum of n^2 over groups of n events, summed over chunks.
        row["effective_events"] += copies.sum() ** 2 / (copies**2).sum() if count else 0.0
        row["cross_section_pb"] += chunk.cross_section_pb * chunk.tried
        row["accepted_pb"] += chunk.accepted_pb * chunk.tried
        row["generated"] += chunk.tried
        row["accepted"] += chunk.accepted
        row["lost_to_cap"] += chunk.lost
    for row in found.values():
        row["cross_section_pb"] /= row["generated"]
        row["accepted_pb"] /= row["generated"]
        row["filter_efficiency"] = row["accepted_pb"] / row["cross_section_pb"]
    return {name: {key: float(f"{value:.6g}") for key, value in row.items()} for name, row in found.items()}
