"""Plans of trainings: expanded and checked before anything is trained, resumed where they stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from l1models.errors import InputRefused
from l1models.study import plan, training_sets
from tests.conftest import TINY, random_events, write_recording

MODELS = Path(__file__).parents[1]


@pytest.fixture
def configurations(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


def planned(folder: Path, *entries: object) -> list[plan.PlannedRun]:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(list(entries)))
    return plan.load(path, folder)


@pytest.mark.parametrize("path", sorted((MODELS / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_plans_are_valid(path: Path) -> None:
    assert plan.load(path, MODELS / "configs")


def test_seeds_and_changes_reach_the_settings(configurations: Path) -> None:
    runs = planned(
        configurations,
        {"name": "a", "config": "tiny", "seeds": [4, 5], "changes": {"representation": {"pt": "log"}}},
    )
    assert [run.name for run in runs] == ["a-seed4", "a-seed5"]
    assert [run.settings["seed"] for run in runs] == [4, 5]
    assert runs[0].settings["representation"]["pt"] == "log" and runs[0].settings["model"] == TINY["model"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "a", "config": "none"}, r"plan\.yaml\[0\]\.config: expected a configuration"),
        ({"name": "a", "config": "tiny", "speed": 1}, r"speed: unknown key"),
        ({"name": "a", "config": "tiny", "seeds": [1, 1]}, r"every run once"),
        ({"name": "a", "config": "tiny", "changes": {"model": {"latent": "many"}}}, r"model\.latent: expected int"),
    ],
)
def test_bad_plans_are_refused(configurations: Path, entry: dict[str, object], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        planned(configurations, entry)


def mixture(path: Path, names: list[str], background: list[bool], seed: int) -> Path:
    write_recording(path, random_events(3000, seed=seed))
    with h5py.File(path, "a") as file:
        file["process"] = (np.arange(3000) % len(names)).astype(np.int16)
        file["process"].attrs["names"] = names
        file["process"].attrs["background"] = background
        file["source_group"] = np.arange(3000)
    return path


def test_training_sets_hold_what_the_plan_says(configurations: Path) -> None:
    background = mixture(configurations / "b.h5", ["W", "QCD"], [True, True], 1)
    signal = mixture(configurations / "s.h5", ["A4l", "Zp"], [False, False], 2)
    clean, mixed, alone = planned(
        configurations,
        {"name": "clean", "config": "tiny"},
        {"name": "mixed", "config": "tiny", "contamination": {"process": "Zp", "fraction": 0.05}},
        {"name": "alone", "config": "tiny", "processes": ["W"]},
    )
    pure = training_sets.read(clean, background, None)
    dirty = training_sets.read(mixed, background, signal)
    assert len(pure.training) == 2500 and len(dirty.training) == 2625
    np.testing.assert_array_equal(dirty.training[:2500], pure.training)
    np.testing.assert_array_equal(dirty.validation, pure.validation)
    assert dirty.provenance["contamination"]["events"] == 125
    assert len(training_sets.read(alone, background, None).training) == 1000
    with pytest.raises(InputRefused, match=r"expected --signal"):
        training_sets.read(mixed, background, None)


def test_finished_runs_are_skipped(configurations: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from l1models.study import verb

    quick = {"phases": [{"objective": "reconstruction", "steps": 5, "batch_size": 64, "look_every": 5}]}
    entry = {"name": "quick", "config": "ae-events-s", "changes": {**quick, "validation_events": 500}}
    path = configurations / "plan.yaml"
    path.write_text(yaml.safe_dump([entry]))
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    arguments = parser.parse_args([str(path), f"--background={recording}", f"--runs={configurations / 'runs'}"])
    verb.run(arguments)
    model = configurations / "runs" / "quick-seed1" / "bundle" / "model.onnx"
    written = model.stat().st_mtime_ns
    verb.run(arguments)
    assert model.stat().st_mtime_ns == written and "done before" in capsys.readouterr().err


def test_runs_that_differ_only_in_their_score_share_a_training(configurations: Path, recording: Path) -> None:
    from l1models.study import verb
    from l1models.train import runs

    quick = {"phases": [{"objective": "reconstruction", "steps": 5, "batch_size": 64, "look_every": 5}]}
    changes = {**quick, "validation_events": 500}
    path = configurations / "plan.yaml"
    entries = [
        {"name": "plain", "config": "ae-events-s", "changes": changes},
        {"name": "counting", "config": "ae-events-s", "changes": {**changes, "multiplicity": {"energy_weight": 1.0}}},
        {"name": "other", "config": "ae-events-s", "seeds": [2], "changes": changes},
        {"name": "half", "config": "ae-events-s", "changes": changes, "events": 2000},
    ]
    path.write_text(yaml.safe_dump(entries))
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    folder = configurations / "runs"
    verb.run(parser.parse_args([str(path), f"--background={recording}", f"--runs={folder}"]))
    plain, counting, other, half = (
        runs.load(folder / f"{entry['name']}-seed{entry.get('seeds', [1])[0]}") for entry in entries
    )
    assert not (folder / "counting-seed1" / "progress.jsonl").exists()
    for ours, theirs in zip(plain.params, counting.params[0], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
    for different in (other, half):
        assert (folder / f"{different.settings['name']}" / "progress.jsonl").exists()
        assert not np.array_equal(plain.params[0][0], different.params[0][0])
