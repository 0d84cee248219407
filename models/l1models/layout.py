"""The event: 19 objects, their order, and the hardware grid they are rounded to.

The stream (src/event/) holds the same numbers; ``models/tests/test_layout.py`` and the parity sets of the
bundles keep the two equal. Scales: the CMS L1 muon grid (LSB 0.5 GeV, 0.010875, 2 pi / 576), of which the
calorimeter's (0.0435, 2 pi / 144) are multiples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OBJECTS = 19
MET = slice(0, 1)
ELECTRONS = slice(1, 5)
MUONS = slice(5, 9)
JETS = slice(9, 19)

# Object class as the ADC2021 files write it in the fourth column; 0 is an absent object.
CLASS_OF_SLOT = np.array([1] + [2] * 4 + [3] * 4 + [4] * 10, dtype=np.float32)
PARTICLES_NAMES = (b"Pt", b"Eta", b"Phi", b"Class")
PARTICLES_CLASSES = (b"MET_class_1", b"Four_Ele_class_2", b"Four_Mu_class_3", b"Ten_Jet_class_4")

PT_LSB = 0.5  # GeV
ETA_LSB = 0.010875
PHI_CODES = 576
PHI_LSB = 2 * np.pi / PHI_CODES  # rad
PT_CODE_MAX = 4095  # overflow: 2047.5 GeV or more
ETA_CODE_MAX = 511
PHI_CODE_MIN, PHI_CODE_MAX = -288, 287


def _nearest(values: NDArray[np.floating], lsb: float) -> NDArray[np.int64]:
    # Half up, in double precision, as the stream does it: the same float gives the same code everywhere.
    return np.floor(values.astype(np.float64) / lsb + 0.5).astype(np.int64)


def to_codes(objects: NDArray[np.floating]) -> NDArray[np.int16]:
    """Round physical values to hardware codes.

    ``objects``: (N, 19, 3 or more) of pT [GeV], eta, phi [rad]. Returns int16 (N, 3, 19): pT, eta and phi
    codes, object by object (the ``hw-int16-planar`` input layout once reshaped to (N, 57)). A pT that rounds
    to code 0 makes the object all-zero. Raises ValueError for values outside the grid or not finite.
    """
    # Frames carry float32: a float64 file must round as its frames do.
    values = objects[..., :3].astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("objects hold values that are not finite")
    if (values[..., 0] < 0).any():
        raise ValueError("objects hold negative pT")
    pt = np.minimum(_nearest(values[..., 0], PT_LSB), PT_CODE_MAX)
    eta = _nearest(values[..., 1], ETA_LSB)
    phi = _nearest(values[..., 2], PHI_LSB)
    absent = pt == 0
    eta[absent] = 0
    phi[absent] = 0
    if (np.abs(eta) > ETA_CODE_MAX).any():
        raise ValueError(f"objects hold |eta| beyond {ETA_CODE_MAX * ETA_LSB:.3f}")
    if (np.abs(phi) > -PHI_CODE_MIN).any():
        raise ValueError("objects hold phi outside [-pi, pi)")
    if eta[..., MET].any():
        raise ValueError("MET (object 0) has an eta other than 0")
    phi[phi == -PHI_CODE_MIN] = PHI_CODE_MIN
    return np.stack([pt, eta, phi], axis=1).astype(np.int16)


def to_words(codes: NDArray[np.int16]) -> NDArray[np.uint32]:
    """Pack codes (N, 3, 19) into HW32 words, uint32 (N, 19): pT bits 0-11, eta 12-21, phi 22-31."""
    wide = codes.astype(np.int64)
    words = (wide[:, 0] & 0xFFF) | ((wide[:, 1] & 0x3FF) << 12) | ((wide[:, 2] & 0x3FF) << 22)
    return words.astype(np.uint32)


def to_physical(codes: NDArray[np.int16]) -> NDArray[np.float32]:
    """Codes (N, 3, 19) as float32 (N, 19, 3): pT [GeV], eta, phi [rad]."""
    lsb = np.array([PT_LSB, ETA_LSB, PHI_LSB])
    values: NDArray[np.float64] = codes.transpose(0, 2, 1) * lsb
    return values.astype(np.float32)
