"""What is known of the processes, with its source, and the range in which a figure passes.

Ranges are wide where the known value is at another order or within another acceptance: they are there to find a
mistake (a missing decay, a wrong unit, a lost smearing), not to tune the response.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from l1models import hdf5
from l1models.generate.processes import COCKTAILS
from l1models.validate.distributions import QUANTITIES, Contents, Process, peak

FEWEST_EVENTS = 200  # of a process, below which its figures are not judged


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure, the range that passes, and what is known."""

    process: str
    figure: str
    found: float
    low: float
    high: float
    known: str

    @property
    def passed(self) -> bool:
        """Whether the figure lies in its range."""
        return self.low <= self.found <= self.high


@dataclass(frozen=True)
class Expectation:
    """A figure of one process, the range that passes, and where it is known from."""

    process: str
    figure: str
    low: float
    high: float
    known: str
    of: Callable[[Process], float]


def _peak(key: str) -> Callable[[Process], float]:
    return lambda process: peak(process.distributions[key], QUANTITIES[key].edges)


def _mean(key: str) -> Callable[[Process], float]:
    return lambda process: process.distributions[key].mean


def _over(key: str, value: float) -> Callable[[Process], float]:
    """Fraction of events at or over a bin edge (events beyond the last bin included)."""

    def fraction(process: Process) -> float:
        distribution = process.distributions[key]
        below = distribution.counts[QUANTITIES[key].edges[1:] <= value + 1e-9].sum()
        return float(1 - below / distribution.values)

    return fraction


def _step(jets: int) -> Callable[[Process], float]:
    """Events with at least ``jets + 1`` over those with at least ``jets`` hard jets."""
    return lambda process: _over("hard_jets", jets + 0.5)(process) / max(_over("hard_jets", jets - 0.5)(process), 1e-12)


def _most_likely(key: str) -> Callable[[Process], float]:
    return lambda process: float(process.distributions[key].counts.argmax())


_STAIRCASE = "about 0.2 at every step: ATLAS Z + jets, arXiv:1304.7098; CMS W + jets, arXiv:1707.05979"
EXPECTATIONS = (
    Expectation("Z", "pair mass peak [GeV]", 90.2, 92.2, "91.188: PDG", _peak("pair_mass")),
    Expectation("Zp", "pair mass peak [GeV]", 49.0, 51.0, "50: generated", _peak("pair_mass")),
    Expectation("W", "transverse mass peak [GeV]", 65, 82, "edge at 80.38: PDG, smeared by MET", _peak("mt")),
    Expectation("W", "fraction of transverse mass over 100 GeV", 0.0, 0.12, "0 but for resolution", _over("mt", 100)),
    Expectation("QCD", "fraction of transverse mass over 100 GeV", 0.0, 0.02, "no neutrino", _over("mt", 100)),
    Expectation("W", "2 or more jets over 1 or more", 0.12, 0.28, _STAIRCASE, _step(1)),
    Expectation("W", "3 or more jets over 2 or more", 0.10, 0.28, _STAIRCASE, _step(2)),
    Expectation("Z", "2 or more jets over 1 or more", 0.12, 0.28, _STAIRCASE, _step(1)),
    Expectation("Z", "3 or more jets over 2 or more", 0.10, 0.28, _STAIRCASE, _step(2)),
    Expectation(
        "ttbar",
        "most likely jets over 30 GeV",
        3,
        5,
        "4 quarks where one W decays to leptons",
        _most_likely("hard_jets"),
    ),
    Expectation("ttbar", "fraction with 2 or more jets over 30 GeV", 0.85, 1, "2 b quarks", _over("hard_jets", 1.5)),
    Expectation("ttbar", "mean HT [GeV]", 220, 450, "of the order of 2 m_t less leptons and neutrinos", _mean("ht")),
    Expectation("W", "mean MET [GeV]", 32, 48, "half of the W mass, smeared", _mean("met")),
    Expectation("Z", "mean MET [GeV]", 15, 30, "resolution, neutrinos of taus", _mean("met")),
    Expectation("QCD", "mean MET [GeV]", 15, 30, "resolution, neutrinos of heavy flavour", _mean("met")),
    Expectation("W", "mean leading lepton pT [GeV]", 34, 42, "edge at half of the W mass", _mean("lepton_pt")),
)
# Component: published cross-section in pb, source, and lowest and highest ratio of it to leading order.
CROSS_SECTIONS = {
    "W-emu": (2 * 20620.0, "W -> l nu, two flavours, 13 TeV: ATLAS, arXiv:1603.09222", 1.1, 1.6),
    "ttbar": (831.8, "NNLO+NNLL, 13 TeV: Top++, arXiv:1112.5675", 1.2, 1.9),
}


def judge(contents: Contents) -> list[Row]:
    """Every expectation that the recording has the events for."""
    rows = []
    for e in EXPECTATIONS:
        process = contents.processes.get(e.process)
        if process is not None and process.events >= FEWEST_EVENTS:
            rows.append(Row(e.process, e.figure, e.of(process), e.low, e.high, e.known))
    rows += _mixture(contents)
    rows += _cross_sections(contents.path)
    for rule, count in contents.faults.items():
        rows.append(Row("all", rule, float(count), 0, 0, "layout of ADC2021: arXiv:2107.02157"))
    return rows


def _mixture(contents: Contents) -> list[Row]:
    shares = COCKTAILS["sm"]
    background = {name: p.events for name, p in contents.processes.items() if p.background}
    if set(background) != set(shares):
        return []
    total = sum(background.values())
    return [
        Row(name, "fraction of the cocktail", background[name] / total, share - 5e-4, share + 5e-4, "arXiv:2107.02157")
        for name, share in shares.items()
    ]


def _cross_sections(path: Path) -> list[Row]:
    described = json.loads(hdf5.attributes(path).get("processes", "{}"))
    components = {name: row for process in described.values() for name, row in process.items()}
    return [
        Row(name, "published cross-section over leading order", known / components[name]["cross_section_pb"], *rest)
        for name, (known, source, low, high) in CROSS_SECTIONS.items()
        if name in components
        for rest in [(low, high, f"{known:.0f} pb: {source}")]
    ]
