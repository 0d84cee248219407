"""`reproduce events`: every kind of step on a trial scale, resumed, and a table that repeats what was evaluated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from l1models.reproduce import results, steps, tables

MODELS = Path(__file__).parents[1]


def reproduce(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "l1models", "reproduce", "events", "--scale", "small", "--out", str(out), *options]
    environment = {**os.environ, "PYTHONPATH": str(MODELS)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800, check=False)


@pytest.mark.skipif(
    shutil.which("node") is None or not (MODELS.parent / "dist" / "cli" / "main.js").exists(),
    reason="needs the built stream processor",
)
def test_a_trial_run_leaves_every_file_and_can_be_resumed(tmp_path: Path) -> None:
    first = reproduce(tmp_path)
    assert first.returncode == 0, first.stderr
    planned = steps.steps(steps.SCALES["small"], tmp_path, MODELS / "configs", MODELS / "plans", 2)
    assert all(path.exists() for step in planned for path in step.makes)
    assert (tmp_path / "efficiency.svg").exists() and (tmp_path / "auc.svg").exists()
    evaluated = json.loads((tmp_path / "evaluations" / "ae-events-s-seed1.json").read_text())
    rows = json.loads((tmp_path / "results.json").read_text())
    by_name = {one["model"]: one for one in [evaluated, *evaluated["further_models"]]}
    for signal in by_name["nae-events-s-seed1"]["signals"]:
        row = rows[f"nae-events-s/{signal['name']}"]
        assert row["auc"] == [signal["auc"]]
        assert [seeds[0] for seeds in row["efficiency"]] == [point["signal"] for point in signal["efficiency"]]
    assert len(rows["ae-events-s/A4l"]["auc"]) == 2
    # What is missing and can be made without another training is made again, and nothing else.
    for missing in ("evaluations/references.json", "evaluations/classifier-A4l.json", "references/classifier-A4l"):
        path = tmp_path / missing
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = reproduce(tmp_path, "--as-is")
    assert again.returncode == 0, again.stderr
    said = [line.split(" (")[0] for line in again.stderr.splitlines()]
    assert "evaluate-references: done before" not in said
    assert sum(line.startswith("evaluate-references: ") for line in said) == 2
    assert {"classifier-A4l: left out", "evaluate-classifier-A4l: left out"} <= set(said)
    assert again.stderr.count("done before") == len(planned) - 3
    assert again.stdout == without_rows(first.stdout, "classifier-A4l")


def without_rows(text: str, model: str) -> str:
    """The tables without the lines of a model: its own, and those that follow with an empty first cell."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        inside = line.startswith(f"| {model} ") or (inside and line.startswith("|  |"))
        kept += [] if inside else [line]
    return "".join(kept)


def test_opponents_are_the_plain_autoencoders_of_the_same_seed_and_data() -> None:
    assert steps.opponent("nae-events-s-seed3") == "ae-events-s-seed3"
    assert steps.opponent("nae-energy-m-seed1") == steps.opponent("ae-counting-m-seed1") == "ae-events-m-seed1"
    assert steps.opponent("nae-s-on-W-seed1") == steps.opponent("nae-energy-s-on-W-seed1") == "ae-s-on-W-seed1"
    assert steps.opponent("nae-s-a4l-0.1pct-seed1") == "ae-s-a4l-0.1pct-seed1"
    assert steps.opponent("nae-s-presence-seed1") == "nae-s-presence-seed1"
    assert steps.opponent("ae-events-s-seed3") == "ae-events-s-seed3"
    assert steps.opponent("vae-kl-events-s-seed1") == "vae-kl-events-s-seed1"


def test_the_full_scale_uses_a_seed_for_one_purpose() -> None:
    planned = steps.steps(steps.SCALES["full"], Path("out"), MODELS / "configs", MODELS / "plans", 2)
    seeds = [step.command[step.command.index("--seed") + 1] for step in planned if step.command[0] == "generate"]
    assert sorted(seeds) == ["1", "2", "4", "5", "6"]
    made = [path for step in planned for path in step.makes]
    assert len(set(made)) == len(made)
    # Whatever a step needs was made before it; what is trained on crossings is tested on the other half of them.
    known: set[Path] = set()
    for step in planned:
        assert set(step.needs) <= known, step.name
        known |= {*step.makes}
    (tested,) = (step for step in planned if step.name == "evaluate-zerobias-trained")
    assert "out/zerobias-odd.h5" in tested.command and "out/zerobias.h5" not in tested.command
    (trained,) = (step for step in planned if step.name == "study-crossings.yaml")
    assert trained.command[trained.command.index("--background") + 1] == "out/zerobias-even.h5"


def test_spread_is_over_seeds_and_the_interval_that_of_the_first() -> None:
    def evaluation(seed: int, auc: float) -> dict[str, object]:
        point = {"signal": auc / 10, "low": 0.01, "high": 0.2, "background_passing": 7}
        signal = {"name": "A4l", "auc": auc, "auc_error": 0.001, "efficiency": [point] * 3}
        return {"model": f"nae-seed{seed}", "signals": [signal], "further_models": [], "comparisons": []}

    row = results.collect([evaluation(2, 0.8), evaluation(1, 0.9)])["nae", "A4l"]
    assert row.auc == [0.9, 0.8] and row.efficiency[2] == [0.09, 0.08] and row.passing == [7, 7, 7]


def test_comparisons_average_over_seeds_with_the_interval_of_the_events() -> None:
    def comparison(seed: int, difference: float, ratio: float) -> dict[str, object]:
        point = {"ratio": ratio, "low": ratio / 2, "high": None if seed == 2 else ratio * 2}
        signal = {"name": "A4l", "auc_difference": difference, "low": difference - 0.01, "high": difference + 0.01}
        names = {"model": f"nae-seed{seed}", "against": f"ae-seed{seed}"}
        return {"comparisons": [{**names, "signals": [{**signal, "efficiency_ratio": [point] * 3}]}]}

    table = tables.paired_over_seeds([comparison(1, 0.02, 2.0), comparison(2, 0.04, 8.0)])
    row = table.splitlines()[2]
    assert "| nae : ae | 2 | A4l | +0.0300 [+0.0200, +0.0400] ± 0.0141 |" in row
    # Geometric mean, without an upper limit where one seed has none; the logarithms spread by log 4 / sqrt 2.
    assert "4 [2, -] x/ 2.67" in row


def test_models_trained_on_one_process_are_tabled_by_what_they_find() -> None:
    point = {"signal": 0.5, "low": 0.4, "high": 0.6}
    signals = [{"name": name, "auc": 0.9, "auc_error": 0.001, "efficiency": [point] * 3} for name in ("QCD", "Z")]
    further = [{"model": "nae-s-on-W-seed1", "signals": signals}]
    table = tables.inverse({"inverse-W": {"model": "ae-s-on-W-seed1", "signals": signals, "further_models": further}})
    assert [line.split(" | ")[1:3] for line in table.splitlines()[2:]] == [
        ["QCD", "ae-s-on-W"],
        ["QCD", "nae-s-on-W"],
        ["Z", "ae-s-on-W"],
        ["Z", "nae-s-on-W"],
    ]
