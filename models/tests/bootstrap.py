"""The cluster bootstrap of `nae-trigger evaluate` (src/sample/poisson-weights.ts): the same weights, bit for bit.

Every replica gives every group of events a Poisson(1) weight, a hash of (seed, replica, sample, group); no list of
groups is needed (Chamandy et al., Estimating Uncertainty for Massive Data Streams, 2012).
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint32]
REPLICAS, SEED = 200, 1


def _mix(words: Hashes) -> Hashes:
    # "lowbias32", C. Wellons, hash-prospector, 2018
    x = words ^ (words >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _word(value: int) -> Hashes:
    return np.array([value & 0xFFFFFFFF], np.uint32)


def _weights_of_values() -> NDArray[np.uint8]:
    table = np.zeros(65536, np.uint8)
    weight, term = 0, exp(-1)
    cumulative = term
    for value in range(65536):
        while cumulative <= (value + 0.5) / 65536:
            weight += 1
            term /= weight
            cumulative += term
        table[value] = weight
    return table


_WEIGHT_OF = _weights_of_values()


def group_hashes(sample: str, groups: NDArray[np.int64]) -> Hashes:
    """One hash per event; ``sample`` keeps equal group numbers of different samples apart ('' is the background)."""
    name = 0x811C9DC5  # FNV-1a
    for byte in sample.encode():
        name = ((name ^ byte) * 0x01000193) & 0xFFFFFFFF
    low = (groups & 0xFFFFFFFF).astype(np.uint32)
    high = ((groups >> 32) & 0xFFFFFFFF).astype(np.uint32)
    return _mix(low ^ _mix(high ^ _mix(_word(name))))


def weights(hashes: Hashes, pair: int, seed: int = SEED) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Weights of all events in replicas 2 x pair and 2 x pair + 1."""
    key = _mix(_mix(_word(seed)) + _word(pair * 0x9E3779B9))
    drawn = _mix(hashes + key)
    return _WEIGHT_OF[drawn & np.uint32(0xFFFF)], _WEIGHT_OF[drawn >> np.uint32(16)]
