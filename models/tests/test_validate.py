"""Validation: it finds broken objects, shared events and a shifted peak, and passes what is right."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.validate import distributions, verb
from tests.conftest import random_events, write_recording


def validate(out: Path, *files: Path) -> tuple[int, dict[tuple[str, str, str], bool]]:
    """Exit code, and whether each (file, process, figure) passed."""
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    code = 0
    try:
        verb.run(parser.parse_args([*map(str, files), "--out", str(out)]))
    except SystemExit as ended:
        code = int(ended.code or 0)
    report = json.loads((out / "validation.json").read_text())
    rows = {(file["file"], row["process"], row["figure"]): row["passed"] for file in report for row in file["rows"]}
    return code, rows


def within_acceptance(count: int, seed: int) -> np.ndarray:
    objects = random_events(count, seed)
    for slots, limit in ((layout.ELECTRONS, 3.0), (layout.MUONS, 2.1), (layout.JETS, 4.0)):
        objects[:, slots, 1] = objects[:, slots, 1].clip(-limit, limit)
    return objects


def test_good_files_pass_and_leave_plots(tmp_path: Path) -> None:
    files = [write_recording(tmp_path / f"{seed}.h5", within_acceptance(500, seed)) for seed in (1, 2)]
    code, rows = validate(tmp_path / "out", *files)
    assert code == 0 and all(rows.values())
    pictures = {path.stem for path in (tmp_path / "out" / "1").glob("*.png")}
    assert pictures == set(distributions.QUANTITIES)
    assert (tmp_path / "out" / "1.svg").read_text().count("<svg") == 1


def test_crossings_need_no_lepton(tmp_path: Path) -> None:
    objects = within_acceptance(500, 3)
    objects[:, 1:9] = 0
    outcome = []
    for name in ("zerobias", "W"):
        recording = hdf5.Recording(objects, np.zeros(500, np.int16), np.arange(500), (name,), (True,))
        hdf5.write(tmp_path / f"{name}.h5", recording, {})
        _, rows = validate(tmp_path / "out", tmp_path / f"{name}.h5")
        outcome.append(all(passed for (_, process, _), passed in rows.items() if process == "all"))
    assert outcome == [True, False]


def test_an_event_in_two_files_is_found(tmp_path: Path) -> None:
    first, second = within_acceptance(500, 1), within_acceptance(500, 2)
    second[123] = first[77]
    files = [write_recording(tmp_path / name, objects) for name, objects in (("a.h5", first), ("b.h5", second))]
    code, rows = validate(tmp_path / "out", *files)
    assert code == 1
    assert [key for key, passed in rows.items() if not passed] == [("b.h5", "all", "events shared with a.h5")]


@pytest.mark.parametrize(
    ("place", "value", "figure"),
    [
        ((3, layout.JETS.start, 0), 14.0, "jets out of acceptance"),
        ((3, layout.JETS.start, 3), 2.0, "class other than its slot's"),
        ((3, layout.MET.start, 2), 3.3, "phi beyond pi"),
        ((3, slice(1, 9), 0), 10.0, "events without a lepton over 23 GeV"),
    ],
)
def test_broken_objects_are_counted(place: tuple, value: float, figure: str) -> None:
    objects = within_acceptance(20, 1)
    objects[3, layout.JETS.start] = (20, 1, 1, 4)
    objects[3, layout.JETS.start + 1 : layout.JETS.stop] = 0
    assert not any(distributions.broken_rules(objects, filtered=True).values())
    objects[place] = value
    assert distributions.broken_rules(objects, filtered=True)[figure] == 1


def test_a_z_peak_at_the_wrong_mass_fails(tmp_path: Path) -> None:
    for mass, expected in ((91.2, True), (80.4, False)):
        objects = np.zeros((300, layout.OBJECTS, 4), np.float32)
        # Back to back at eta 0: the mass is the sum of the momenta. Spread, so that no two events are alike.
        pt = mass / 2 + np.linspace(-1, 1, 300)
        objects[:, 1, 0], objects[:, 2, 0] = pt, np.minimum(pt, mass / 2)
        objects[:, 2, 2] = np.float32(np.pi) * 0.99999
        objects[:, 1:3, 3] = 2
        path = tmp_path / f"{mass}.h5"
        labels = np.zeros(300, np.int16)
        hdf5.write(path, hdf5.Recording(objects, labels, np.arange(300), ("Z",), (True,)), {})
        _, rows = validate(tmp_path / "out", path)
        assert rows[path.name, "Z", "pair mass peak [GeV]"] is expected
