"""Training configurations: YAML files whose keys are the fields of the settings classes; unknown keys are refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from l1models.errors import InputRefused
from l1models.train.autoencoder import Autoencoder
from l1models.train.event_normalization import EventNormalization
from l1models.train.model import Model
from l1models.train.multiplicity import CountingAutoencoder, Multiplicity
from l1models.train.objectives import Normalization, Objective, Reconstruction, Variational
from l1models.train.representation import ErrorWeights, Representation
from l1models.train.trainer import Phase
from l1models.train.variational import VariationalAutoencoder

OBJECTIVES: dict[str, type[Any]] = {
    "reconstruction": Reconstruction,
    "normalization": Normalization,
    "event-normalization": EventNormalization,
    "variational": Variational,
}


@dataclass(frozen=True)
class ModelSettings:
    """Kind and layer widths of a model; the fields of the kind's class."""

    type: Literal["autoencoder", "variational"]
    hidden: tuple[int, ...]
    latent: int
    trained_energy: bool = False
    per_object: bool = False
    score_kind: Literal["error", "kl", "mean-squared"] = "error"
    dirichlet: float = 0.0


@dataclass(frozen=True)
class Config:
    """One training run. ``validation_events`` background events at the end of the file are not trained on.

    With ``multiplicity`` the score of an autoencoder also says how rare its numbers of objects are.
    """

    name: str
    version: str
    model: ModelSettings
    phases: tuple[dict[str, Any], ...]
    representation: Representation = field(default_factory=Representation)
    error_weights: ErrorWeights = field(default_factory=ErrorWeights)
    multiplicity: Multiplicity | None = None
    seed: int = 1
    validation_events: int = 20000

    def build_model(self) -> Model:
        """The model described."""
        settings = self.model
        if settings.type == "variational":
            if self.multiplicity is not None:
                raise InputRefused("multiplicity: expected a model of type autoencoder, received variational")
            return VariationalAutoencoder(
                settings.hidden,
                settings.latent,
                settings.score_kind,
                settings.dirichlet,
                self.representation,
                self.error_weights,
            )
        autoencoder = Autoencoder(
            settings.hidden,
            settings.latent,
            self.representation,
            self.error_weights,
            settings.trained_energy,
            settings.per_object,
        )
        return autoencoder if self.multiplicity is None else CountingAutoencoder(autoencoder, self.multiplicity)

    def build_phases(self) -> list[tuple[str, Phase]]:
        """The phases with the names of their objectives, in order."""
        built = []
        for number, settings in enumerate(self.phases):
            where = f"phases[{number}]"
            name = settings.get("objective")
            if name not in OBJECTIVES:
                raise InputRefused(f"{where}.objective: expected one of {', '.join(OBJECTIVES)}, received {name!r}")
            objective: Objective = from_mapping(OBJECTIVES[name], settings.get("settings", {}), f"{where}.settings")
            own = {key: value for key, value in settings.items() if key not in ("objective", "settings")}
            built.append((str(name), from_mapping(Phase, own, where, objective=objective)))
        return built


def load(path: Path) -> Config:
    """Read and check a configuration."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as fault:
        raise InputRefused(f"{path}: not a readable YAML file: {fault}") from fault
    return parse(content, str(path))


def parse(content: Any, where: str) -> Config:
    """Check a configuration that is already a mapping; ``where`` names it in refusals."""
    try:
        config: Config = from_mapping(Config, content, "")
        config.build_model()
        config.build_phases()
    except InputRefused as refusal:
        raise InputRefused(f"{where}: {refusal}") from refusal
    return config


def from_mapping(cls: type[Any], content: Any, where: str, **given: Any) -> Any:
    """An instance of dataclass ``cls`` from a mapping, each value checked against the field's type."""
    if not isinstance(content, Mapping):
        raise InputRefused(f"{where or 'top level'}: expected a mapping, received {content!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.name not in given}
    prefix = f"{where}." if where else ""
    for key in content:
        if key not in fields:
            raise InputRefused(f"{prefix}{key}: unknown key; expected one of {', '.join(fields)}")
    values = dict(given)
    for name, described in fields.items():
        if name in content:
            values[name] = _checked(hints[name], content[name], f"{prefix}{name}")
        elif described.default is dataclasses.MISSING and described.default_factory is dataclasses.MISSING:
            raise InputRefused(f"{prefix}{name}: missing")
    return cls(**values)


def _checked(expected: Any, value: Any, where: str) -> Any:
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin is types.UnionType:  # something or nothing
        return None if value is None else _checked(parts[0], value, where)
    if dataclasses.is_dataclass(expected):
        return from_mapping(typing.cast(type[Any], expected), value, where)
    if origin is Literal:
        if value not in parts:
            raise InputRefused(f"{where}: expected one of {', '.join(map(str, parts))}, received {value!r}")
        return value
    if origin is tuple:
        length = None if parts[-1] is ... else len(parts)
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise InputRefused(f"{where}: expected a list{f' of {length}' if length else ''}, received {value!r}")
        return tuple(_checked(parts[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is dict:
        expected = dict
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise InputRefused(f"{where}: expected {expected.__name__}, received {value!r}")
    return value
