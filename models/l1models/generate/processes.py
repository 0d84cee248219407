"""The processes: one table, each a sum of components that Pythia makes separately.

A component gives unweighted events; the share of each within its process follows from its cross-section after
the filter, measured in its first chunk. Leading order throughout, so cross-sections are indicative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["partons", "hadrons", "full"]
Source = Literal["prompt", "misidentified", "heavy-flavour"]


@dataclass(frozen=True)
class Component:
    """Events of one Pythia configuration.

    ``tier``: how much of the event is simulated (pythia.py). ``source``: where the filter's lepton comes from.
    ``taus``: their polarisation (decays.tau_polarisation). ``leptonic_taus``: only such decays are made, and the
    branching fraction enters the cross-section.
    """

    name: str
    settings: tuple[str, ...]
    tier: Tier = "partons"
    source: Source = "prompt"
    taus: str = "none"
    leptonic_taus: bool = False


@dataclass(frozen=True)
class Process:
    """What the label of an event says: a name, background or signal, and the components it is the sum of."""

    name: str
    components: tuple[Component, ...]
    background: bool = False


def _decays(resonance: int, products: str) -> tuple[str, ...]:
    return (f"{resonance}:onMode = off", f"{resonance}:onIfAny = {products}")


def _narrow(resonance: int, mass: float) -> tuple[str, ...]:
    """Mass in GeV, with a width far below the detector's resolution."""
    return (f"{resonance}:m0 = {mass}", f"{resonance}:mMin = {0.9 * mass}", f"{resonance}:mMax = {1.1 * mass}",
            f"{resonance}:doForceWidth = on", f"{resonance}:mWidth = 0.05")


_W = ("WeakSingleBoson:ffbar2W = on",)
# Down to 20 GeV: the Drell-Yan continuum belongs to Z -> ll, and an edge near a signal's mass would be found.
_Z = ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 20.")
_A_TO_ZZ = (
    "Higgs:useBSM = on", "HiggsBSM:gg2A3 = on", "HiggsA3:coup2Z = 1.", *_narrow(36, 50.0), "36:onMode = off", "36:onIfMatch = 23 23",
    "23:mMin = 1.", *_decays(23, "11 13 15"),
)
_LQ = (
    "LeptoQuark:gg2LQLQbar = on", "LeptoQuark:qqbar2LQLQbar = on", "42:0:products = 5 15", *_narrow(42, 80.0),
)
_PT_HAT_SLICES = ((20, 35), (35, 60), (60, 120), (120, 0))


def _slices(source: Source) -> tuple[Component, ...]:
    return tuple(
        Component(
            f"QCD-{source}-{low}",
            ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {low}.", *((f"PhaseSpace:pTHatMax = {high}.",) if high else ())),
            source=source,
        )
        for low, high in _PT_HAT_SLICES
    )


PROCESSES = (
    Process(
        "W",
        (
            Component("W-emu", (*_W, *_decays(24, "11 13"))),
            Component("W-tau", (*_W, *_decays(24, "15")), taus="W", leptonic_taus=True),
        ),
        background=True,
    ),
    Process(
        "Z",
        (
            Component("Z-emu", (*_Z, *_decays(23, "11 13"))),
            Component("Z-tau", (*_Z, *_decays(23, "15")), taus="vector-pair"),
        ),
        background=True,
    ),
    Process(
        "ttbar",
        (Component("ttbar", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"), tier="hadrons", taus="W"),),
        background=True,
    ),
    Process("QCD", _slices("misidentified"), background=True),
    Process("A4l", (Component("A4l", _A_TO_ZZ, taus="vector-pair"),)),
    Process("LQ", (Component("LQ", _LQ),)),
    Process("h0", (Component("h0", ("HiggsSM:gg2H = on", *_narrow(25, 60.0), *_decays(25, "15")), taus="scalar-pair"),)),
    Process(
        "hpm",
        (
            Component(
                "hpm", ("Higgs:useBSM = on", "HiggsBSM:ffbar2H+- = on", *_narrow(37, 60.0), *_decays(37, "15")), taus="scalar", leptonic_taus=True
            ),
        ),
    ),
    Process(
        "Zp",
        (Component("Zp", ("NewGaugeBoson:ffbar2gmZZprime = on", "Zprime:gmZmode = 3", *_narrow(32, 50.0), *_decays(32, "13"))),),
    ),
)
BY_NAME = {process.name: process for process in PROCESSES}
SIGNALS = tuple(process.name for process in PROCESSES if not process.background)
# Fractions of accepted events: Govorkova et al., arXiv:2107.02157, table of the Standard Model cocktail.
COCKTAILS = {"sm": {"W": 0.592, "QCD": 0.338, "Z": 0.067, "ttbar": 0.003}}
