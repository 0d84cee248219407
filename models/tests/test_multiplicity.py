"""Scores that count objects: the counted part against counts made by hand, and the export against the trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from l1models import layout
from l1models.errors import InputRefused
from l1models.report import scoring
from l1models.train import config, runs
from l1models.train.multiplicity import CountingAutoencoder, count
from l1models.train.representation import FEATURES
from l1models.train.trainer import scores
from tests.conftest import TINY, random_events


def with_numbers(rng: np.random.Generator, events: int) -> NDArray[np.int16]:
    """Codes with 0 to 4 electrons and muons and 0 to 10 jets, electrons and muons correlated."""
    codes = np.zeros((events, 3, layout.OBJECTS), np.int16)
    electrons = rng.integers(0, 5, events)
    muons = np.minimum(4, electrons // 2 + rng.integers(0, 3, events))
    for slots, number in ((layout.ELECTRONS, electrons), (layout.MUONS, muons), (layout.JETS, rng.poisson(2, events))):
        there = np.arange(slots.stop - slots.start) < number[:, None]
        codes[:, 0, slots] = np.where(there, 100 - np.arange(slots.stop - slots.start), 0)
    return codes.reshape(events, FEATURES)


def test_the_form_of_presences_is_the_table_of_counts() -> None:
    codes = with_numbers(np.random.default_rng(1), 4000)
    form, constant = count(codes)
    there = (codes[:, : layout.OBJECTS] > 0).astype(float)
    found = np.einsum("ni,ij,nj->n", there, form, there) + constant
    electrons, muons, jets = (
        there[:, slots].sum(axis=1).astype(int) for slots in (layout.ELECTRONS, layout.MUONS, layout.JETS)
    )
    # Jeffreys: half an event in each of 25 and of 11 combinations.
    for event in range(0, 4000, 97):
        pairs = np.sum((electrons == electrons[event]) & (muons == muons[event])) + 0.5
        alike = np.sum(jets == jets[event]) + 0.5
        expected = -np.log(pairs / (4000 + 12.5)) - np.log(alike / (4000 + 5.5))
        assert found[event] == pytest.approx(expected, rel=1e-9)


def test_the_graph_scores_as_the_trainer_and_counts_what_it_was_trained_on(counting_bundle: Path) -> None:
    run = runs.load(counting_bundle.parent / "run")
    model = run.model()
    assert isinstance(model, CountingAutoencoder)
    codes = layout.to_codes(random_events(4000, seed=11)).reshape(-1, FEATURES)
    found = scoring.load(counting_bundle).scores(codes)
    np.testing.assert_allclose(found, scores(model, run.params, codes), rtol=1e-5)
    # The same objects but one lepton more, which no event of the recording has: rarer by more than the energy says.
    second = codes.copy()
    free = codes[:, layout.ELECTRONS.start] > 0
    second[free, layout.ELECTRONS.start + 1] = codes[free, layout.ELECTRONS.start]
    assert np.all(scoring.load(counting_bundle).scores(second[free]) > found[free] + 4)


def test_only_an_autoencoder_counts() -> None:
    settings = {**TINY, "model": {**TINY["model"], "type": "variational"}, "multiplicity": {}}
    with pytest.raises(InputRefused, match="multiplicity: expected a model of type autoencoder"):
        config.parse(settings, "here")
