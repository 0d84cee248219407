"""The processes: one table, each a sum of components that Pythia makes separately.

A component gives unweighted events; the share of each within its process follows from its cross-section after
the filter, measured in its first chunk. Leading order throughout, so cross-sections are indicative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["partons", "hadrons", "full"]
Source = Literal["prompt", "misidentified", "heavy-flavour"]
Taus = Literal["none", "W", "scalar", "vector-pair", "scalar-pair"]


@dataclass(frozen=True)
class Component:
    """Events of one Pythia configuration.

    ``tier``: how much of the event is simulated (pythia.py). ``source``: where the filter's lepton comes from.
    ``taus``: their polarisation (decays.tau_polarisation). ``leptonic_taus``: only such decays are made, and the
    branching fraction enters the cross-section. ``copies``: of misidentified jets, passages through the detector;
    of prompt leptons, draws of the tau decays. ``candidates``: reconstruct.reconstruct_misidentified. ``draws``:
    heavy_flavour.copies. ``yield_factor`` scales the accepted cross-section for production not simulated.
    """

    name: str
    settings: tuple[str, ...]
    tier: Tier = "partons"
    source: Source = "prompt"
    taus: Taus = "none"
    leptonic_taus: bool = False
    copies: int = 1
    candidates: int = 1
    draws: int = 1
    yield_factor: float = 1.0


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
    return (
        f"{resonance}:m0 = {mass}",
        f"{resonance}:mMin = {0.9 * mass}",
        f"{resonance}:mMax = {1.1 * mass}",
        f"{resonance}:doForceWidth = on",
        f"{resonance}:mWidth = 0.05",
    )


_W = ("WeakSingleBoson:ffbar2W = on",)
# Down to 20 GeV: the Drell-Yan continuum belongs to Z -> ll, and an edge near a signal's mass would be found.
_Z = ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 20.")
_A_TO_ZZ = (
    "Higgs:useBSM = on",
    "HiggsBSM:gg2A3 = on",
    "HiggsA3:coup2Z = 1.",
    *_narrow(36, 50.0),
    "36:onMode = off",
    "36:onIfMatch = 23 23",
    "23:mMin = 1.",
    *_decays(23, "11 13 15"),
)
_LQ = (
    "LeptoQuark:gg2LQLQbar = on",
    "LeptoQuark:qqbar2LQLQbar = on",
    "42:0:products = 5 15",
    *_narrow(42, 80.0),
)

_H0 = ("HiggsSM:gg2H = on", *_narrow(25, 60.0), *_decays(25, "15"))
_HPM = ("Higgs:useBSM = on", "HiggsBSM:ffbar2H+- = on", *_narrow(37, 60.0), *_decays(37, "15"))
# The Z' alone, without the photon and Z it interferes with.
_ZP = ("NewGaugeBoson:ffbar2gmZZprime = on", "Zprime:gmZmode = 3", *_narrow(32, 50.0), *_decays(32, "13"))


def _pt_hat(low: int, high: int) -> tuple[str, ...]:
    """The hard scattering's pT between ``low`` and ``high`` GeV; 0 is no upper end."""
    return (f"PhaseSpace:pTHatMin = {low}.", *((f"PhaseSpace:pTHatMax = {high}.",) if high else ()))


# pT-hat slices (from, to, copies, candidates): softer events give fewer candidates and may be passed more often
# through the detector; where the extreme events are, none is used twice.
_MISIDENTIFIED = tuple(
    Component(
        f"QCD-misidentified-{low}",
        ("HardQCD:all = on", *_pt_hat(low, high)),
        source="misidentified",
        copies=copies,
        candidates=candidates,
    )
    for low, high, copies, candidates in ((20, 35, 3, 3), (35, 60, 2, 4), (60, 120, 1, 6), (120, 0, 1, 8))
)
# Only hard production of b and c pairs is simulated, where nearly every event has such a hadron. Gluon splitting and
# flavour excitation look alike in these objects, and give most of the leptons: ``yield_factor`` is the accepted
# cross-section of HardQCD:all over that of hard production in the slice (measured; models/README.md).
_HEAVY_FLAVOUR = tuple(
    Component(
        f"QCD-heavy-flavour-{low}",
        ("HardQCD:hardbbbar = on", "HardQCD:hardccbar = on", *_pt_hat(low, high)),
        tier="hadrons",
        source="heavy-flavour",
        draws=draws,
        yield_factor=factor,
    )
    for low, high, draws, factor in ((25, 45, 300, 4.4), (45, 80, 120, 6.9), (80, 160, 40, 9.5), (160, 0, 20, 12.9))
)

PROCESSES = (
    Process(
        "W",
        (
            Component("W-emu", (*_W, *_decays(24, "11 13"))),
            Component("W-tau", (*_W, *_decays(24, "15")), taus="W", leptonic_taus=True, copies=3),
        ),
        background=True,
    ),
    Process(
        "Z",
        (
            Component("Z-emu", (*_Z, *_decays(23, "11 13"))),
            Component("Z-tau", (*_Z, *_decays(23, "15")), taus="vector-pair", copies=3),
        ),
        background=True,
    ),
    Process(
        "ttbar",
        (Component("ttbar", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"), tier="hadrons", taus="W"),),
        background=True,
    ),
    Process("QCD", (*_MISIDENTIFIED, *_HEAVY_FLAVOUR), background=True),
    Process("A4l", (Component("A4l", _A_TO_ZZ, taus="vector-pair"),)),
    Process("LQ", (Component("LQ", _LQ, copies=2),)),
    Process(
        "h0",
        (Component("h0", ("HiggsSM:gg2H = on", *_narrow(25, 60.0), *_decays(25, "15")), taus="scalar-pair", copies=3),),
    ),
    Process("hpm", (Component("hpm", _HPM, taus="scalar", leptonic_taus=True, copies=5),)),
    Process("Zp", (Component("Zp", _ZP),)),
)
BY_NAME = {process.name: process for process in PROCESSES}
SIGNALS = tuple(process.name for process in PROCESSES if not process.background)
# Fractions of accepted events: Govorkova et al., arXiv:2107.02157, table of the Standard Model cocktail.
COCKTAILS = {"sm": {"W": 0.592, "QCD": 0.338, "Z": 0.067, "ttbar": 0.003}}
