"""A file exactly as the ADC2021 challenge publishes its own goes through reading, training and the report unchanged."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np

from l1models import hdf5, layout
from l1models.report import verb
from l1models.validate import distributions
from tests.conftest import TINY, random_events, train


def published(path: Path, seed: int, harder: float = 1.0) -> Path:
    """Three datasets and no attributes; momenta in double precision; nothing of ours."""
    objects = random_events(3000, seed).astype(np.float64)
    objects[:, layout.JETS, 0] *= harder
    with h5py.File(path, "w") as file:
        file["Particles"] = objects
        file["Particles_Classes"] = np.array(
            [b"MET_class_1", b"Four_Ele_class_2", b"Four_Mu_class_3", b"Ten_Jet_class_4"]
        )
        file["Particles_Names"] = np.array([b"Pt", b"Eta", b"Phi", b"Class"])
    return path


def test_published_files_go_through_reading_training_and_report(tmp_path: Path) -> None:
    background = published(tmp_path / "background_for_training.h5", 1)
    assert hdf5.contents(background) == hdf5.Contents(3000, ("background",), (True,))
    assert distributions.fill(background).effective_events == 3000
    bundle = train(tmp_path / "model", background, TINY)
    manifest = json.loads((bundle / "manifest.json").read_text())
    dataset = manifest["training"]["dataset"]
    assert dataset["training_events"] + dataset["validation_events"] == 3000 and dataset["made_by"] == {}

    parser = argparse.ArgumentParser()
    verb.configure(parser)
    test, signal = published(tmp_path / "test.h5", 2), published(tmp_path / "signal.h5", 3, harder=4.0)
    words = ["--bundle", bundle, "--background", test, "--signal", f"hard={signal}", "--out", tmp_path / "report"]
    verb.run(parser.parse_args([str(word) for word in words]))
    report = (tmp_path / "report" / "report.json").read_text()
    assert json.loads(report) and "hard" in report
