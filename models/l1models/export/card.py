"""The model card of a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- performance of {sha256} -->", "<!-- end of performance -->"
_BLOCK = re.compile(r"<!-- performance of (\w+) -->\n(.*?)<!-- end of performance -->", re.DOTALL)
_UNMEASURED = "Not measured yet: `models/run report` fills this table.\n"


def performance(card: Path, sha256: str) -> str | None:
    """The performance text of an existing card, if it was measured with the model of this hash."""
    found = _BLOCK.search(card.read_text()) if card.exists() else None
    return found.group(2) if found and found.group(1) == sha256 else None


def render(manifest: dict[str, Any], measured: str | None) -> str:
    """The card's text from the manifest and the measured performance (Markdown), if there is one."""
    training = manifest["training"]
    dataset = training["dataset"]
    phases = "\n".join(
        f"| {phase['objective']} | {phase['steps']} | {phase['seconds']:.0f} | "
        f"{'to the end' if phase['completed'] else 'ended early, last healthy weights kept'} |"
        for phase in training["phases"]
    )
    origin = "\n".join(f"- {name}: `{value}`" for name, value in dataset["made_by"].items())
    name = manifest["name"]
    return f"""# {name} {manifest["version"]}

{_kind(manifest)} on the 57 numbers of one L1 event: {manifest["parameters"]} parameters,
{manifest["flop_per_event"]} FLOP per event (twice the multiply-adds of the graph's matrix products).
Input layout `{manifest["input_layout"]}`.
Score: {manifest["score"]}.

## Trained on

{dataset["training_events"]} background events of `{dataset["file"]}` (sha256 `{dataset["sha256"]}`):
{", ".join(dataset["background_processes"])}. {dataset["validation_events"]} more served to watch the training.
{_signal_use(training)} Simulation only: thresholds and efficiencies do not carry over to a detector without a new
calibration, and a new training is advised.

| phase | steps | seconds | ran |
|---|---|---|---|
{phases}

Device: {training["device"]}; seed {training["seed"]}.

## What it finds and misses

{_BEGIN.format(sha256=manifest["sha256"])}
{measured or _UNMEASURED}{_END}

## Reproduce

    {training["command"]}

The same file, seed, threads, versions and processor type give the same bytes. The recording says how it was made:

{origin or "- nothing"}
"""


def _kind(manifest: dict[str, Any]) -> str:
    architecture = manifest["architecture"]
    if "description" in architecture:
        return str(architecture["description"])
    objectives = {phase["objective"] for phase in manifest["training"]["phases"]}
    kind = "Variational autoencoder" if "variational" in objectives else "Autoencoder"
    if objectives & {"normalization", "event-normalization"}:
        kind = "Normalized autoencoder (arXiv:2105.05735)"
    if "multiplicity" in architecture:
        kind += " with counted numbers of objects"
    return f"{kind}, {' - '.join(map(str, architecture['widths']))}, latent space: {architecture['latent']},"


def _signal_use(training: dict[str, Any]) -> str:
    signal = training.get("signal")
    if not signal:
        return "No signal event was used."
    return (
        f"Supervised: {signal['events']} events of {signal['process']} ({signal['file']}) were used, the even groups."
    )
