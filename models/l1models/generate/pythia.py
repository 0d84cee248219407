"""Pythia 8 events as batches of stable particles."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pythia8mc
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.generate.batch import Batch, offsets_of

# pp at 13 TeV. Taus stay in the record: decays.py decays them with their polarisation (Pythia's own spin
# correlations cost ten times the rest of the event).
BASE = (
    "Beams:eCM = 13000.",
    "15:mayDecay = off",
    "Print:quiet = on",
    "Next:numberCount = 0",
    "Random:setSeed = on",
)
# The default tier: showers without multiparton interactions or hadronisation. compare.py measures what that
# leaves out; detector.py puts it back.
# Branchings under 1.5 GeV move no energy out of a jet, and take half of the time.
PARTONS = ("PartonLevel:MPI = off", "HadronLevel:Hadronize = off", "TimeShower:pTmin = 1.5", "Check:event = off")
HADRONS = ("PartonLevel:MPI = off",)
FULL: tuple[str, ...] = ()
MAX_SEED = 900_000_000  # Pythia's largest


class Generator:
    """One configured Pythia. ``settings`` are Pythia strings, ``tier`` one of PARTONS, HADRONS, FULL."""

    def __init__(self, settings: tuple[str, ...], tier: tuple[str, ...], seed: int) -> None:
        self._pythia = pythia8mc.Pythia("", False)
        for line in (*BASE, *tier, *settings, f"Random:seed = {1 + seed % (MAX_SEED - 1)}"):
            if not self._pythia.readString(line):
                raise InputRefused(f"Pythia refused the setting {line!r}")
        if not self._pythia.init():
            raise InputRefused(f"Pythia could not start with {settings}")
        self.tried = 0

    def next(self, count: int) -> Batch:
        """Up to ``count`` new events (fewer where Pythia gave one up); ``group`` counts events of this generator."""
        record = self._pythia.nextBatch(count)
        final = record.prt[record.prt.status > 0]
        counts = ak.to_numpy(ak.num(final, axis=1))
        momentum = final.p
        batch = Batch(
            offsets_of(counts),
            _flat(final.id),
            _flat(momentum.px),
            _flat(momentum.py),
            _flat(momentum.pz),
            _flat(momentum.e),
            self.tried + np.arange(len(counts), dtype=np.int64),
        )
        self.tried += len(counts)
        return batch

    @property
    def cross_section_pb(self) -> float:
        """Pythia's estimate of the cross-section of everything generated so far, in pb."""
        return float(self._pythia.infoPython().sigmaGen()) * 1e9


def _flat(values: ak.Array) -> NDArray[Any]:
    return ak.to_numpy(ak.flatten(values, axis=1))
