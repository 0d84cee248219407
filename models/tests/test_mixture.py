"""Sharing events out, and the declarations that the mixture rests on."""

from __future__ import annotations

import numpy as np
import pytest

from l1models.generate import mixture
from l1models.generate.processes import BY_NAME, COCKTAILS, PROCESSES, SIGNALS
from l1models.generate.store import COMPONENTS


@pytest.mark.parametrize("total", [0, 1, 7, 1000, 350_000])
def test_parts_add_up_and_are_within_one_of_their_share(total: int) -> None:
    weights = np.array(list(COCKTAILS["sm"].values()))
    parts = mixture.shared_out(total, weights)
    assert parts.sum() == total
    assert np.abs(parts - total * weights / weights.sum()).max() < 1


def test_cocktails_hold_backgrounds_and_add_up_to_one() -> None:
    for shares in COCKTAILS.values():
        assert sum(shares.values()) == pytest.approx(1)
        assert all(BY_NAME[name].background for name in shares)


def test_components_have_names_of_their_own() -> None:
    # A chunk's file and seed are named after its component.
    assert len({component.name for component in COMPONENTS}) == len(COMPONENTS)
    assert len(BY_NAME) == len(PROCESSES)
    assert SIGNALS == ("A4l", "LQ", "h0", "hpm", "Zp")


def test_pilots_are_made_only_where_components_must_be_weighed() -> None:
    assert mixture.pilots(BY_NAME["Zp"], 5000, 4000) == []
    sizes = {order.component.source: order.events for order in mixture.pilots(BY_NAME["QCD"], 50_000, 4000)}
    assert sizes == {"misidentified": 1000, "heavy-flavour": 300}
    assert {order.events for order in mixture.pilots(BY_NAME["W"], 90, 4000)} == {20}
