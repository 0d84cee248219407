"""Banks of single inelastic collisions, from which crossings are put together.

Inelastic collisions whose leading jet is below `SPLIT` come from Pythia's soft QCD. Those above are one in two
hundred and decide the tail, so they come from hard QCD in slices of pT-hat, each with its own cross-section; W and Z
production is added. Cutting on the jet and not on pT-hat makes the two fit without double counting, and the same
cut's rate in soft QCD checks the sum of the slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models.generate import decays, detector, pythia
from l1models.generate.batch import offsets_of, ragged_indices, sums
from l1models.generate.detector import Soft
from l1models.generate.response import Response

SPLIT = 25.0  # GeV, leading jet within the acceptance
JET_MIN_PT = 8.0  # GeV: a softer jet has less than one chance in a hundred to be measured over the threshold
# Mean interactions per crossing, uniform between the two: the range of LHC runs 2 and 3.
PILE_UP = (20.0, 60.0)
BATCH_EVENTS = 500
ELECTROWEAK = ("WeakSingleBoson:ffbar2gmZ = on", "WeakSingleBoson:ffbar2W = on", "PhaseSpace:mHatMin = 20.")


@dataclass(frozen=True)
class Stratum:
    """A kind of interaction: Pythia settings, the side of `SPLIT` it is cut to, and the largest bank that is made."""

    name: str
    settings: tuple[str, ...]
    side: str  # "below", "above", "all"
    most: int


def _slice(low: int, high: int) -> tuple[str, ...]:
    upper = (f"PhaseSpace:pTHatMax = {high}.",) if high else ()
    return ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {low}.", *upper)


SOFT = Stratum("inelastic", ("SoftQCD:inelastic = on",), "below", 40_000)
STRATA = (
    SOFT,
    Stratum("QCD-15", _slice(15, 25), "above", 5_000),
    Stratum("QCD-25", _slice(25, 45), "above", 25_000),
    Stratum("QCD-45", _slice(45, 80), "above", 25_000),
    Stratum("QCD-80", _slice(80, 160), "above", 10_000),
    Stratum("QCD-160", _slice(160, 0), "above", 5_000),
    Stratum("electroweak", ELECTROWEAK, "all", 5_000),
)


@dataclass(frozen=True)
class Bank:
    """Interactions after the response for leptons and before that for jets, flat.

    ``px``, ``py`` (n,): visible sum [GeV]. ``jet_offsets``, ``lepton_offsets`` (n+1,): interaction i owns the rows
    between; ``jets`` (m, 3), ``leptons`` (k, 4): pT [GeV], eta, phi, and 1 for a muon. ``generated`` events
    before the cut on the leading jet; ``cross_section_pb`` before it.
    """

    px: NDArray[np.float64]
    py: NDArray[np.float64]
    jet_offsets: NDArray[np.int64]
    jets: NDArray[np.float64]
    lepton_offsets: NDArray[np.int64]
    leptons: NDArray[np.float64]
    generated: int
    cross_section_pb: float

    def __len__(self) -> int:
        return len(self.px)

    @property
    def kept_pb(self) -> float:
        """Cross-section after the cut."""
        return self.cross_section_pb * len(self) / self.generated


def simulate(stratum: Stratum, seed: list[int], count: int, r: Response, taus: decays.Bank) -> Bank:
    """Full Pythia events until ``count`` are on the stratum's side of `SPLIT`; all of the last batch are kept."""
    sequence = np.random.SeedSequence(seed)
    rng = np.random.default_rng(sequence)
    generator = pythia.Generator(stratum.settings, pythia.FULL, int(sequence.generate_state(1)[0]))
    parts: list[Bank] = []
    while sum(map(len, parts)) < count:
        parts.append(_measured(generator, stratum, min(BATCH_EVENTS, 10 * count), r, taus, rng))
    return joined(parts, generator.tried, generator.cross_section_pb)


def _measured(
    generator: pythia.Generator, stratum: Stratum, size: int, r: Response, taus: decays.Bank, rng: np.random.Generator
) -> Bank:
    soft = Soft(underlying=False, hadronisation=False)
    batch = generator.next(size)
    mothers = np.flatnonzero(np.abs(batch.pdg) == decays.TAU)
    if len(mothers):
        entries = rng.integers(len(taus), size=len(mothers))
        batch = decays.decay(batch, mothers, entries, taus, np.zeros(len(mothers)), rng)
    batch = detector.visible(batch, r)
    found = detector.leptons(batch, soft, r, rng)
    jets = detector.jets(batch, found, r)
    inside = np.abs(jets.eta) < r.jet_max_eta
    hard = sums(jets.event, (inside & (jets.pt >= SPLIT)).astype(np.float64), len(batch)) > 0
    keep = {"below": ~hard, "above": hard, "all": np.ones(len(batch), dtype=bool)}[stratum.side]
    new = np.cumsum(keep) - 1
    jets = jets[keep[jets.event] & (jets.pt > JET_MIN_PT)]
    found = found[keep[found.event]]
    count = int(keep.sum())
    return Bank(
        sums(batch.event, batch.px, len(batch))[keep],
        sums(batch.event, batch.py, len(batch))[keep],
        offsets_of(np.bincount(new[jets.event], minlength=count)),
        np.stack([jets.pt, jets.eta, jets.phi], axis=1),
        offsets_of(np.bincount(new[found.event], minlength=count)),
        np.stack([found.pt, found.eta, found.phi, found.muon], axis=1),
        len(batch),
        0.0,
    )


def joined(parts: list[Bank], generated: int, cross_section_pb: float) -> Bank:
    """Several banks of one stratum as one."""

    def rows(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    def offsets(name: str) -> NDArray[np.int64]:
        return offsets_of(np.concatenate([np.diff(getattr(part, name)) for part in parts]))

    return Bank(
        rows("px"),
        rows("py"),
        offsets("jet_offsets"),
        rows("jets"),
        offsets("lepton_offsets"),
        rows("leptons"),
        generated,
        cross_section_pb,
    )


def objects_of(
    offsets: NDArray[np.int64], rows: NDArray[np.float64], entries: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows of the interactions ``entries``, and for each the place in ``entries`` it belongs to."""
    counts = np.diff(offsets)[entries]
    return np.repeat(np.arange(len(entries)), counts), rows[ragged_indices(offsets[entries], counts)]
