"""Changed responses: momenta stay balanced, noise has the width stated, mixtures the shares."""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.errors import InputRefused
from l1models.generate.response import Response
from l1models.vary import response, verb
from tests.conftest import random_events


def momenta(objects: np.ndarray, slots: slice) -> np.ndarray:
    """Vector sums (2, n) of transverse momenta."""
    pt, phi = objects[:, slots, 0].astype(float), objects[:, slots, 2].astype(float)
    return np.stack([(pt * np.cos(phi)).sum(1), (pt * np.sin(phi)).sum(1)])


def test_scaled_jets_and_met_balance() -> None:
    before = random_events(400, 1)
    before[:, layout.JETS][before[:, layout.JETS, 0] < 40] = 0  # none falls under the threshold
    after = response.scale_jets(before, 0.95, Response())
    np.testing.assert_allclose(after[:, layout.JETS, 0], 0.95 * before[:, layout.JETS, 0], rtol=1e-6)
    change = momenta(after, layout.JETS) - momenta(before, layout.JETS)
    np.testing.assert_allclose(momenta(after, layout.MET) - momenta(before, layout.MET), -change, atol=1e-3)
    leptons = slice(layout.ELECTRONS.start, layout.MUONS.stop)
    assert np.array_equal(after[:, leptons], before[:, leptons])


def test_jets_that_fall_under_the_threshold_vanish() -> None:
    before = random_events(400, 2)
    last = (before[:, layout.JETS, 0] > 0).sum(axis=1)
    before[np.arange(400)[last > 0], (layout.JETS.start + last - 1)[last > 0], 0] = 16
    after = response.scale_jets(before, 0.9, Response())
    pt = before[:, layout.JETS, 0]
    soft = (pt > 0) & (pt * 0.9 <= 15)
    assert soft.any() and not after[:, layout.JETS][soft].any()
    layout.to_codes(after)  # still a legal event


def test_doubled_resolution_adds_the_width_stated() -> None:
    before = random_events(20_000, 3)
    after = response.smear_met(before, 2.0, Response(), np.random.default_rng(1))
    added = momenta(after, layout.MET) - momenta(before, layout.MET)
    # 0.6^2 x 2 x 4 pi x 5 + 20 x 3.3^2 = 263 GeV^2; doubling adds three times that.
    assert added.std() == pytest.approx(np.sqrt(3 * 263.04), rel=0.02)
    assert abs(added.mean()) < 1
    layout.to_codes(after)


def test_the_calorimeter_grid_is_a_subset_of_the_words() -> None:
    codes = layout.to_codes(response.coarsen(random_events(500, 4)))
    muons = slice(layout.MUONS.start, layout.MUONS.stop)
    angles = codes[:, 1:].copy()
    assert (angles[:, :, muons] % 4 != 0).any()
    angles[:, :, muons] = 0
    assert not (angles % 4).any()


def recording(folder: Path) -> Path:
    path = folder / "mixed.h5"
    process = (np.arange(6000) % 2).astype(np.int16)
    content = hdf5.Recording(random_events(6000, 5), process, np.arange(6000) // 3, ("W", "QCD"), (True, True))
    hdf5.write(path, content, {"seed": 4, "validation": "{}"})
    return path


def vary(source: Path, out: Path, *options: str) -> Path:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    verb.run(parser.parse_args([str(source), "--out", str(out), *options]))
    return out


def test_a_mixture_has_the_shares_asked_for(tmp_path: Path) -> None:
    read = hdf5.read(vary(recording(tmp_path), tmp_path / "out.h5", "--mix", "QCD=2"))
    assert np.sum(read.process == 1) == 3000
    assert np.mean(read.process == 1) == pytest.approx(2 / 3, abs=0.03)


def test_even_and_odd_groups_share_no_parton_event(tmp_path: Path) -> None:
    source = recording(tmp_path)
    even, odd = (
        hdf5.read(vary(source, tmp_path / f"{g}.h5", "--groups", g, "--process", "W")) for g in ("even", "odd")
    )
    assert not np.intersect1d(even.source_group, odd.source_group).size
    assert len(even) + len(odd) == 3000 and not even.process.any()


def test_the_same_command_writes_the_same_bytes_and_says_so(tmp_path: Path) -> None:
    source = recording(tmp_path)
    options = ("--jet-energy", "1.05", "--met-resolution", "2", "--seed", "7")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (vary(source, tmp_path / folder / "out.h5", *options) for folder in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    with h5py.File(first) as file:
        assert file.attrs["varied"] == (
            "models/run vary mixed.h5 --jet-energy 1.05 --met-resolution 2.0 --seed 7 --out out.h5"
        )
        assert "validation" not in file.attrs and file.attrs["seed"] == "4"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mix", "Z=2"), "--mix: expected one of W, QCD, received 'Z'"),
        (("--mix", "W=x"), "--mix: expected NAME=F"),
        (("--met-resolution", "0.5"), "--met-resolution: expected 1 or more"),
        (("--process", "A4l"), "--process: expected W, QCD, received 'A4l'"),
    ],
)
def test_refusals(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        vary(recording(tmp_path), tmp_path / "out.h5", *options)
