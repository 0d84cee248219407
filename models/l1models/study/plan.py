"""Plans: YAML files that name trainings. A plan is expanded and checked whole before anything is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from l1models.errors import InputRefused
from l1models.train import config as configuration
from l1models.train.training import training_settings


@dataclass(frozen=True)
class Contamination:
    """Signal mixed into the training set: ``fraction`` of its background events, drawn from ``process``."""

    process: str = ""
    fraction: float = 0.0


@dataclass(frozen=True)
class Entry:
    """Runs of the configuration ``config``, one per seed, with ``changes`` merged into it.

    ``processes`` trains on these of the recording's background alone (inverse training), ``contamination`` adds
    signal, ``events`` takes only that many background events (0: all).
    """

    name: str
    config: str
    seeds: tuple[int, ...] = (1,)
    changes: dict[str, Any] = field(default_factory=dict)
    processes: tuple[str, ...] = ()
    contamination: Contamination = Contamination()
    events: int = 0


@dataclass(frozen=True)
class PlannedRun:
    """One training: the name of its folder, its complete settings and its training set."""

    name: str
    settings: dict[str, Any]
    entry: Entry

    def trained_as(self, other: PlannedRun) -> bool:
        """Whether the other run's training gives the same weights."""

        def data(entry: Entry) -> tuple[Any, ...]:
            return entry.processes, entry.contamination, entry.events

        return data(self.entry) == data(other.entry) and training_settings(self.settings) == training_settings(
            other.settings
        )


def load(path: Path, configurations: Path) -> list[PlannedRun]:
    """Read a plan whose entries name configurations in the folder ``configurations``."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as fault:
        raise InputRefused(f"{path}: not a readable YAML file: {fault}") from fault
    if not isinstance(content, list):
        raise InputRefused(f"{path}: expected a list of runs, received {content!r}")
    planned = []
    for number, item in enumerate(content):
        where = f"{path.name}[{number}]"
        entry: Entry = configuration.from_mapping(Entry, item, where)
        source = configurations / f"{entry.config}.yaml"
        if not source.exists():
            raise InputRefused(
                f"{where}.config: expected a configuration in {configurations}, received {entry.config!r}"
            )
        base = yaml.safe_load(source.read_text())
        for seed in entry.seeds:
            name = f"{entry.name}-seed{seed}"
            settings = merged(merged(base, entry.changes), {"seed": seed, "name": name})
            configuration.parse(settings, where)
            planned.append(PlannedRun(name, settings, entry))
    names = [run.name for run in planned]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputRefused(f"{path}: expected every run once, received {', '.join(twice)} more than once")
    return planned


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with ``changes`` in place: mappings are merged, anything else is replaced."""
    result = copy.deepcopy(settings)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
