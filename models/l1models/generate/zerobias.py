"""`generate --cocktail zerobias`: crossings as a trigger sees them, without any filter."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from l1models.generate import crossings, decays, interactions
from l1models.generate.interactions import PILE_UP, STRATA, Bank, Stratum
from l1models.generate.response import Response
from l1models.generate.store import code_fingerprint, keep
from l1models.generate.workers import each
from l1models.hdf5 import Recording

NAME = "zerobias"
# Filled crossings per second: 2544 bunch pairs (LHC, 2018) times the revolution frequency, 11245 Hz.
CROSSINGS_HZ = 2544 * 11245.0
CHUNK = 1000  # interactions of a bank's chunk
SOFT_PER_CROSSING, FEWEST = 0.5, 200
PILOT = 50
_SEED_WORD = 0x2E80


def response() -> Response:
    """The response at the mean pile-up of the crossings."""
    return dataclasses.replace(Response(), pile_up=sum(PILE_UP) / 2)


def generate(events: int, seed: int, folder: Path, workers: int) -> tuple[Recording, dict[str, str | int]]:
    """``events`` crossings and the attributes that say how they came about; banks are kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    taus = _path(folder, "taus", seed, 0, 0)
    if not taus.exists():
        keep(taus, dataclasses.asdict(decays.make_bank(decays.TAU, 2000, seed)))
    pilots = {s: [_path(folder, s.name, seed, 0, PILOT)] for s in STRATA}
    _make(folder, seed, [(STRATA.index(s), 0, PILOT) for s in STRATA], workers, "pilots")
    rates = {s: _read(pilots[s]).kept_pb for s in STRATA}
    wanted = {s: _bank_size(s, rates[s] / sum(rates.values()), events) for s in STRATA}
    orders = [
        (STRATA.index(s), 1 + i, min(CHUNK, wanted[s] - at))
        for s in STRATA
        for i, at in enumerate(range(0, wanted[s], CHUNK))
    ]
    _make(folder, seed, orders, workers, "interactions")
    banks = [
        _read([_path(folder, s.name, seed, n, size) for place, n, size in orders if STRATA[place] is s]) for s in STRATA
    ]
    made = crossings.overlay(banks, events, response(), np.random.default_rng([seed, _SEED_WORD]))
    recording = Recording(made.objects, np.zeros(events, np.int16), made.group, (NAME,), (True,))
    return recording, _attributes(banks, made, seed)


def files(folder: Path) -> Iterator[Path]:
    """Every bank in ``folder``."""
    return folder.glob(f"{NAME}-*.npz")


def _bank_size(stratum: Stratum, share: float, events: int) -> int:
    """As many as are drawn, with room for fluctuations, up to the stratum's limit."""
    if stratum is interactions.SOFT:
        return int(np.clip(SOFT_PER_CROSSING * events, FEWEST, stratum.most))
    drawn = share * events * sum(PILE_UP) / 2
    return int(np.clip(1.2 * drawn + 20, min(FEWEST, max(events // 10, 20)), stratum.most))


def _path(folder: Path, name: str, seed: int, number: int, size: int) -> Path:
    identity = json.dumps([name, seed, number, size, dataclasses.asdict(response()), _code()])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return folder / f"{NAME}-{name}-{number:04d}-{digest}.npz"


def _code() -> str:
    here = Path(__file__).parent
    own = b"".join((here / name).read_bytes() for name in ("interactions.py", "crossings.py"))
    return hashlib.sha256(code_fingerprint().encode() + own).hexdigest()[:16]


def _chunk(folder: Path, seed: int, order: tuple[int, int, int]) -> None:
    place, number, size = order
    stratum = STRATA[place]
    path = _path(folder, stratum.name, seed, number, size)
    if path.exists():
        return
    with np.load(_path(folder, "taus", seed, 0, 0)) as stored:
        taus = decays.Bank(**stored)
    bank = interactions.simulate(stratum, [seed, _SEED_WORD, place, number, size], size, response(), taus)
    keep(path, dataclasses.asdict(bank))


def _make(folder: Path, seed: int, orders: list[tuple[int, int, int]], workers: int, what: str) -> None:
    with closing(each(partial(_chunk, folder, seed), orders, workers)) as finished:
        for done, _ in enumerate(finished, 1):
            print(f"generate: {what} {done}/{len(orders)} chunks", file=sys.stderr)


def _read(paths: list[Path]) -> Bank:
    parts = []
    for path in paths:
        with np.load(path) as stored:
            values = {field.name: stored[field.name] for field in dataclasses.fields(Bank)}
        parts.append(Bank(**{name: v.item() if v.ndim == 0 else v for name, v in values.items()}))
    generated = sum(part.generated for part in parts)
    return interactions.joined(
        parts, generated, sum(part.cross_section_pb * part.generated for part in parts) / generated
    )


def _attributes(banks: list[Bank], made: crossings.Crossings, seed: int) -> dict[str, str | int]:
    rows = {}
    for stratum, bank, draws in zip(STRATA, banks, made.draws, strict=True):
        rows[stratum.name] = {
            "cross_section_pb": bank.cross_section_pb,
            "accepted_pb": bank.kept_pb,
            "generated": bank.generated,
            "bank": len(bank),
            "drawn": int(draws),
        }
    soft, inelastic = banks[0].kept_pb, banks[0].cross_section_pb
    # The rate of jets over the split, from the slices and from soft QCD alone.
    above = sum(bank.kept_pb for bank in banks[1:-1])
    settings = {
        "strata": [dataclasses.asdict(stratum) for stratum in STRATA],
        "split_gev": interactions.SPLIT,
        "pile_up": PILE_UP,
        "response": dataclasses.asdict(response()),
        "slices_over_soft_qcd_above_split": above / max(inelastic - soft, 1e-9),
    }
    tools = {name: version(name) for name in ("pythia8mc", "fastjet", "numpy")} | {"python": platform.python_version()}
    return {
        "seed": seed,
        "code": _code(),
        "tools": json.dumps(tools),
        "settings": json.dumps(settings),
        "processes": json.dumps({NAME: rows}),
        "crossings_hz": str(CROSSINGS_HZ),
    }
