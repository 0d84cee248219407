"""Crossings: rates follow cross-sections, groups follow hard interactions, the same seed gives the same file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.errors import InputRefused
from l1models.generate import crossings, verb, zerobias
from l1models.generate.interactions import PILE_UP, Bank
from l1models.generate.response import Response


def bank(count: int, jet_pt: float, kept_pb: float, px: float = 0.0) -> Bank:
    """Interactions of one jet each, at eta 1 and phi 0."""
    each = np.arange(count + 1)
    jets = np.tile([jet_pt, 1.0, 0.0], (count, 1))
    none = np.zeros(count + 1, dtype=np.int64)
    momentum = np.full(count, px)
    return Bank(momentum, np.zeros(count), each, jets, none, np.zeros((0, 4)), count, kept_pb)


def test_interactions_are_drawn_by_cross_section_and_the_hard_ones_in_turn() -> None:
    soft, hard = bank(50, 9.0, 9.9e6), bank(100_000, 200.0, 1e5)
    made = crossings.overlay([soft, hard], 4000, Response(), np.random.default_rng(1))
    expected = 4000 * sum(PILE_UP) / 2
    assert made.draws.sum() == pytest.approx(expected, rel=0.02)
    assert made.draws[1] == pytest.approx(expected / 100, rel=0.15)
    # None of the hard ones is used twice, so no two crossings share one.
    assert len(np.unique(made.group)) == 4000
    hard_jets = (made.objects[:, layout.JETS, 0] > 120).sum()
    assert hard_jets == pytest.approx(made.draws[1], rel=0.05)


def test_crossings_that_share_their_hardest_interaction_share_a_group() -> None:
    made = crossings.overlay([bank(50, 9.0, 9.9e6), bank(7, 200.0, 1e5)], 2000, Response(), np.random.default_rng(1))
    hard = made.objects[:, layout.JETS.start, 0] > 120
    assert len(np.unique(made.group[hard])) == 7
    assert len(np.unique(made.group[~hard])) == pytest.approx((~hard).sum(), abs=5)


def test_an_unseen_recoil_is_missing_momentum_whichever_way_it_is_turned() -> None:
    hard = bank(10, 300.0, 1e9, px=300.0)
    soft = bank(10, 9.0, 1.0)
    response = Response(met_per_pile_up=0.0, jet_noise=0.0, jet_stochastic=0.0, jet_constant=0.0, jet_angle=0.0)
    objects = crossings.overlay([soft, hard], 50, response, np.random.default_rng(1)).objects.astype(float)
    # About 40 jets of 300 GeV each: those beyond the ten slots count too, so compare with all directions at random.
    assert objects[:, 0, 0].mean() == pytest.approx(300 * np.sqrt(40 * np.pi) / 2, rel=0.25)
    assert abs(np.exp(1j * objects[:, 0, 2]).mean()) < 0.35


def generate(out: Path, *options: str) -> Path:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    words = ["--cocktail", "zerobias", "--events", "60", "--seed", "4", "--out", str(out), *options]
    verb.run(parser.parse_args(words))
    return out


def test_a_zerobias_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zerobias, "PILOT", 5)
    monkeypatch.setattr(zerobias, "FEWEST", 5)
    path = generate(tmp_path / "zb.h5", "--workers", "2", "--keep-work")
    assert hdf5.contents(path) == hdf5.Contents(60, ("zerobias",), (True,))
    read = hdf5.read(path)
    assert (read.codes[:, 0, 0] > 0).mean() > 0.9
    again = generate(tmp_path / "again.h5", "--workers", "1", "--work", str(tmp_path / "zb.h5.work"))
    assert np.array_equal(hdf5.read(again).codes, read.codes)
    assert not (tmp_path / "zb.h5.work").exists()
    rows = json.loads(hdf5.attributes(path)["processes"])["zerobias"]
    # Pythia's inelastic cross-section at 13 TeV, 78 mb.
    assert rows["inelastic"]["cross_section_pb"] == pytest.approx(7.8e10, rel=0.02)
    with pytest.raises(InputRefused, match="--mix, --signals: not with"):
        generate(tmp_path / "x.h5", "--signals", "3")
