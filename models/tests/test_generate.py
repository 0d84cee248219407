"""The `generate` verb end to end: what it writes, and that it writes the same again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from l1models import layout
from l1models.generate import summary
from l1models.generate.heavy_flavour import MAX_COPIES

MODELS = Path(__file__).parents[1]
CLASSES = ((layout.ELECTRONS, 3.0, 3.0), (layout.MUONS, 3.0, 2.1), (layout.JETS, 15.0, 4.0))


def generate(*arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `models/run generate` in this interpreter's environment; fails unless it ends with ``expected``."""
    done = subprocess.run(
        [sys.executable, "-m", "l1models", "generate", *arguments],
        env=os.environ | {"PYTHONPATH": str(MODELS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    return done


def particles(path: Path) -> NDArray[np.float32]:
    with h5py.File(path) as file:
        return file["Particles"][()]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 background events with 30 of each signal, seed 5, and the chunks they came from."""
    out = tmp_path_factory.mktemp("mixed") / "mixed.h5"
    generate("--events", "400", "--signals", "30", "--seed", "5", "--workers", "2", "--out", str(out), "--keep-work")
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 Z' and 150 Z events in chunks of 50, by one worker."""
    out = tmp_path_factory.mktemp("small") / "small.h5"
    generate(*SMALL, "--workers", "1", "--out", str(out), "--keep-work")
    return out


SMALL = ("--process", "Zp", "Z", "--events", "150", "--chunk-events", "50", "--seed", "7")


def test_layout_is_adc2021(mixed: Path) -> None:
    with h5py.File(mixed) as file:
        assert file["Particles"].shape == (550, 19, 4)
        assert file["Particles"].dtype == np.float32
        assert file["Particles"].chunks is not None and file["Particles"].compression == "gzip"
        assert file["Particles_Names"][()].tolist() == [b"Pt", b"Eta", b"Phi", b"Class"]
        assert [name.split(b"_class_")[1] for name in file["Particles_Classes"][()]] == [b"1", b"2", b"3", b"4"]
        assert file["process"].dtype == np.int16
        assert file["source_group"].dtype == np.int64


def test_objects_are_sorted_within_acceptance_and_zero_where_absent(mixed: Path) -> None:
    objects = particles(mixed)
    present = objects[..., 0] > 0
    assert not objects[~present].any()
    assert np.array_equal(objects[..., 3], layout.CLASS_OF_SLOT * present)
    assert (objects[:, 0, 1] == 0).all()
    assert (objects[..., 2].astype(np.float64) >= -np.pi).all()
    assert (objects[..., 2].astype(np.float64) < np.pi).all()
    for slots, min_pt, max_eta in CLASSES:
        pt = objects[:, slots, 0]
        assert (np.diff(pt, axis=1) <= 0).all()
        assert (pt[pt > 0] > min_pt).all()
        assert (np.abs(objects[:, slots, 1]) < max_eta).all()
    assert present[:, 9].mean() > 0.5


def test_every_event_has_a_lepton_over_the_filter(mixed: Path) -> None:
    leptons = particles(mixed)[:, layout.ELECTRONS.start : layout.MUONS.stop, 0]
    assert (leptons.max(axis=1) > 23).all()


def test_events_fit_the_hardware_grid(mixed: Path) -> None:
    codes = layout.to_codes(particles(mixed))
    assert (codes[:, 0, 0] > 0).any()


def test_mixture_has_the_fractions_asked_for(mixed: Path) -> None:
    with h5py.File(mixed) as file:
        names = list(file["process"].attrs["names"])
        background = file["process"].attrs["background"].tolist()
        counts = np.bincount(file["process"][()], minlength=len(names))
        order = file["process"][()]
    assert dict(zip(names, counts.tolist(), strict=True)) == {
        "W": 237, "Z": 27, "ttbar": 1, "QCD": 135, "A4l": 30, "LQ": 30, "h0": 30, "hpm": 30, "Zp": 30,
    }  # fmt: skip
    assert background == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    # Shuffled: signal in both halves.
    assert (order[:275] > 3).any() and (order[275:] > 3).any()


def test_no_parton_event_gives_more_than_the_cap(mixed: Path) -> None:
    with h5py.File(mixed) as file:
        group, process = file["source_group"][()], file["process"][()]
    values, counts = np.unique(group, return_counts=True)
    assert counts.max() <= MAX_COPIES
    assert len(values) < len(group)
    for one in values[counts > 1]:
        assert len(set(process[group == one])) == 1


def test_provenance_is_recorded(mixed: Path) -> None:
    with h5py.File(mixed) as file:
        attributes = dict(file.attrs)
    assert "--seed 5" in attributes["command"]
    assert attributes["seed"] == 5
    assert json.loads(attributes["tools"])["pythia8mc"] == "8.317.2"
    components = json.loads(attributes["processes"])["QCD"]
    for figures in components.values():
        assert 0 < figures["filter_efficiency"] < 1
        assert 0 < figures["effective_events"] <= figures["events"] or figures["events"] == 0
    assert json.loads(attributes["settings"])["response"]["filter_lepton_pt"] == 23.0
    assert json.loads(attributes["validation"])["W"]["events"] == 237


def test_the_same_seed_gives_the_same_file_with_any_workers(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.h5"
    generate(*SMALL, "--workers", "3", "--out", str(out))
    assert out.read_bytes() == small.read_bytes()
    assert not (tmp_path / "small.h5.work").exists()


def test_another_seed_gives_other_events(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "other.h5"
    generate(*SMALL[:-1], "8", "--workers", "2", "--out", str(out))
    assert not np.array_equal(particles(out), particles(small))


def test_an_interrupted_run_goes_on_with_its_finished_chunks(small: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "small.h5", tmp_path / "work"
    arguments = (*SMALL, "--workers", "2", "--out", str(out), "--work", str(work))
    first = subprocess.Popen(
        [sys.executable, "-m", "l1models", "generate", *arguments],
        env=os.environ | {"PYTHONPATH": str(MODELS)},
        stderr=subprocess.DEVNULL,
    )
    while first.poll() is None and len(list(work.glob("Z*.npz"))) < 2:
        time.sleep(0.05)
    first.terminate()
    assert first.wait(timeout=60) == 143
    assert not out.exists()
    finished = {path: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    assert len(finished) >= 2
    generate(*arguments, "--keep-work")
    assert out.read_bytes() == small.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    # A third run finds everything there, and takes away what it made and nothing else.
    (work / "mine.txt").write_text("kept")
    generate(*arguments)
    assert [path.name for path in work.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("cocktail", ["sm", "zerobias"])
def test_a_terminated_run_ends_its_workers_in_the_middle_of_their_chunks(cocktail: str, tmp_path: Path) -> None:
    arguments = ("--cocktail", cocktail, "--events", "400000", "--seed", "3", "--workers", "2")
    run = subprocess.Popen(
        [sys.executable, "-m", "l1models", "generate", *arguments, "--out", str(tmp_path / "long.h5")],
        env=os.environ | {"PYTHONPATH": str(MODELS)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    work = tmp_path / "long.h5.work"
    while run.poll() is None and not any(path.suffix == ".npz" for path in work.glob("[!b]*")):
        time.sleep(0.05)
    # To the main process alone, as a supervisor sends it: the group is what it leaves behind.
    run.terminate()
    assert run.wait(timeout=30) == 143
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(run.pid, 0)
            time.sleep(0.1)


def test_masses_peak_where_they_should(small: Path) -> None:
    with h5py.File(small) as file:
        names = list(file["process"].attrs["names"])
        process = file["process"][()]
    objects = particles(small)
    assert summary.peak(summary.pair_masses(objects[process == names.index("Z")])) == pytest.approx(91, abs=3)
    assert summary.peak(summary.pair_masses(objects[process == names.index("Zp")])) == pytest.approx(50, abs=2)


def test_w_transverse_mass_ends_at_the_w_mass(mixed: Path) -> None:
    objects = particles(mixed)
    with h5py.File(mixed) as file:
        objects = objects[file["process"][()] == 0]
    mass = summary.transverse_mass(objects)
    # Missing-momentum resolution smears the edge at 80 GeV.
    assert 50 < np.median(mass) < 80
    assert (mass < 120).mean() > 0.9


def test_summary_goes_to_stdout_and_nothing_else(small: Path, tmp_path: Path) -> None:
    work = small.with_name("small.h5.work")
    done = generate(*SMALL, "--out", str(tmp_path / "o.h5"), "--work", str(work), "--keep-work")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("o.h5")
    assert [line.split()[0] for line in lines[2:]] == ["Z", "Zp"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--events", "5", "--process", "nosuch"), "expected one of W, Z"),
        (("--events", "5", "--mix", "A4l"), "expected NAME=N, received 'A4l'"),
        (("--events", "0"), "expected at least one event"),
        (("--events", "-5"), "--events: expected"),
        (("--events", "5", "--workers", "0"), "--workers: expected"),
    ],
)
def test_bad_settings_are_refused(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = generate(*arguments, "--out", str(tmp_path / "o.h5"), expected=2)
    assert message in done.stderr


def test_an_output_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = generate("--events", "5", "--out", str(tmp_path / "no" / "o.h5"), expected=2)
    assert "is not a folder" in done.stderr
