"""The default tiers against full Pythia events, and what pile-up leaves behind: the numbers of models/README.md.

PYTHONPATH=models python -m l1models.generate.compare EVENTS [COMPONENT...]
"""

from __future__ import annotations

import dataclasses
import sys

import awkward as ak
import fastjet
import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.generate import decays, detector, pythia
from l1models.generate.batch import Batch, offsets_of
from l1models.generate.response import Response
from l1models.generate.simulate import simulate
from l1models.generate.store import COMPONENTS

SEED = 77
BANK_DECAYS = 4000
CROSSING_BATCH = 50


def figures(objects: NDArray[np.float32]) -> dict[str, float]:
    """Means over events: multiplicities, missing momentum, HT and leading jet [GeV], two or more jets."""
    pt = objects[..., 0].astype(np.float64)
    jets = pt[:, layout.JETS]
    return {
        "e": (pt[:, layout.ELECTRONS] > 0).sum(1).mean(),
        "mu": (pt[:, layout.MUONS] > 0).sum(1).mean(),
        "lepton_pt": pt[:, layout.ELECTRONS.start : layout.MUONS.stop].max(1).mean(),
        "met": pt[:, 0].mean(),
        "jets": (jets > 0).sum(1).mean(),
        "jets>30": (jets > 30).sum(1).mean(),
        "ht": jets.sum(1).mean(),
        "jet1": jets[:, 0].mean(),
    }


def compare(names: list[str], events: int) -> None:
    """Print both tiers' figures for each component."""
    banks = {decays.TAU: decays.make_bank(decays.TAU, BANK_DECAYS, SEED)}
    for component in COMPONENTS:
        if component.name not in names:
            continue
        for tier in (component.tier, "full"):
            chunk = simulate(dataclasses.replace(component, tier=tier), [SEED], events, Response(), banks)
            row = " ".join(f"{name} {value:.3g}" for name, value in figures(chunk.objects).items())
            print(f"{component.name:22s} {tier:8s} eff {chunk.accepted / chunk.tried:.4f} {row}", flush=True)


def crossings(count: int, mean: float) -> None:
    """Print, of pile-up alone: density, its spread in a lepton's cone, jets after subtraction, missing momentum."""
    r = Response()
    rng = np.random.default_rng(SEED)
    generator = pythia.Generator(("SoftQCD:inelastic = on",), pythia.FULL, SEED)
    over, densities, cones, missing = [], [], [], []
    for _ in range(count // CROSSING_BATCH):
        overlaid = rng.poisson(mean, CROSSING_BATCH)
        single = generator.next(int(overlaid.sum()))
        counts = np.add.reduceat(np.diff(single.offsets), offsets_of(overlaid)[:-1])
        batch = detector.visible(
            Batch(offsets_of(counts), single.pdg, single.px, single.py, single.pz, single.e, single.group), r
        )
        density = np.bincount(batch.event, batch.pt, CROSSING_BATCH) / (2 * np.pi * 2 * r.visible_max_eta)
        densities.append(density)
        missing.append(np.stack([np.bincount(batch.event, p, CROSSING_BATCH) for p in (batch.px, batch.py)]))
        vectors = ak.zip({"px": batch.px, "py": batch.py, "pz": batch.pz, "E": batch.e}, with_name="Momentum4D")
        ragged = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(batch.offsets), vectors.layout))
        jets = fastjet.ClusterSequence(
            ragged, fastjet.JetDefinition(fastjet.antikt_algorithm, r.jet_radius)
        ).inclusive_jets(5.0)
        pt = np.hypot(jets.px, jets.py)
        eta = np.arcsinh(jets.pz / pt)
        corrected = (pt - density * np.pi * r.jet_radius**2)[abs(eta) < r.jet_max_eta]
        over.append(ak.to_numpy(ak.flatten(corrected[corrected > 10])))
        eta, phi = rng.uniform(-2.5, 2.5, CROSSING_BATCH), rng.uniform(-np.pi, np.pi, CROSSING_BATCH)
        near = detector.delta_r(batch.eta, batch.phi, eta[batch.event], phi[batch.event]) < r.isolation_cone
        counted = near & (batch.pt > r.isolation_particle_pt)
        cones.append(np.bincount(batch.event[counted], batch.pt[counted], CROSSING_BATCH))
    n = len(densities) * CROSSING_BATCH
    pt, cone = np.concatenate(over), np.concatenate(cones)
    scale = np.sqrt(mean * np.pi * r.isolation_cone**2)
    above = {cut: float((pt > cut).mean() * len(pt) / n / mean) for cut in (10, 15, 20, 25)}
    own = np.concatenate(missing, axis=1).std() / np.sqrt(mean)
    print(f"pile-up, {n} crossings; per interaction: {np.concatenate(densities).mean() / mean:.3f} GeV per unit area")
    print(f"cone {cone.mean():.2f} +- {cone.std():.2f} GeV, {cone.std() / scale:.3f} per sqrt(interaction area)")
    print(f"jets per interaction over threshold {above}; missing component {own:.2f} GeV per sqrt(interaction)")


if __name__ == "__main__":
    wanted = sys.argv[2:] or [c.name for c in COMPONENTS if c.source != "heavy-flavour"]
    compare(wanted, int(sys.argv[1]))
    crossings(1000, Response().pile_up)
