"""What a model sees of an event, defined once for the trainer (JAX) and once more, line by line, for the ONNX graph.

The graph computes in *graph units*, in which every linear scale is left out: pT after its transform, eta in
codes, phi in codes. `scales` holds feature = graph unit x scale, which `export` folds into the weights of
the first and last layer, so that scaling costs nothing per event. All steps but the logarithm are correctly
rounded operations of IEEE arithmetic, and those on angles are exact (integers below 2^24), so trainer and graph
agree, and a rotated event has the same score to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from l1models import layout
from l1models.export.graph import INPUT, Graph

FEATURES = 3 * layout.OBJECTS
INPUT_LAYOUT = "hw-int16-planar"

# pT is compressed around this scale: the transforms below are linear beneath it and grow slowly above.
PT_SCALE = 10.0  # GeV
_PT_SCALE_CODES = np.float32(PT_SCALE / layout.PT_LSB)
_SQUARE_ROOTS = {"linear": 0, "square-root": 1, "fourth-root": 2, "eighth-root": 3}
_CODES_PER_TURN = float(layout.PHI_CODES)
# A difference of angles in turns plus this, rounded down, is the number of turns to take off: 288 codes become -288,
# and no rounding error of the product (a code is 1/576) can tip the balance.
_HALF_TURN = 0.5005
_ELECTRON, _MUON = layout.ELECTRONS.start, layout.MUONS.start


class Written(NamedTuple):
    """Names in a graph: the graph units, float32 (N, 57), and the pT codes as float32, (N, 19)."""

    units: str
    pt_codes: str


@dataclass(frozen=True)
class Representation:
    """Choices of the representation; absent objects are zero in all of them.

    ``pt``: "log", log(1 + pT / 10 GeV); or ((1 + pT / 10 GeV)^n - 1) / n for n = 1/8 ("eighth-root") to 1
    ("linear"), which have the same slope at zero and are cheaper: the larger n, the more a model looks at hard
    objects (the reweighting of arXiv:2206.14225). ``phi_reference``: angles relative to "met", to the leading "lepton"
    (electron or muon), or "none". ``reflect_eta``: mirrors the event so that the leading lepton has eta >= 0.
    """

    pt: Literal["log", "eighth-root", "fourth-root", "square-root", "linear"] = "fourth-root"
    phi_reference: Literal["met", "lepton", "none"] = "met"
    reflect_eta: bool = False

    @property
    def _power(self) -> float:
        return 0.0 if self.pt == "log" else 0.5 ** _SQUARE_ROOTS[self.pt]

    @property
    def scales(self) -> NDArray[np.float64]:
        """Feature per graph unit, (57,): eta / 2 and phi in radians."""
        power = self._power
        pt = 1.0 if power == 0 else 1 / (power * float(_PT_SCALE_CODES) ** power)
        return np.repeat([pt, layout.ETA_LSB / 2, layout.PHI_LSB], layout.OBJECTS)

    @property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest value each feature takes on the hardware grid, two times (57,)."""
        largest = layout.PT_CODE_MAX / float(_PT_SCALE_CODES)
        power = self._power
        pt = np.log1p(largest) if power == 0 else ((1 + largest) ** power - 1) / power
        eta = layout.ETA_CODE_MAX * layout.ETA_LSB / 2
        high = np.repeat([pt, eta, np.pi], layout.OBJECTS)
        low = np.repeat([0.0, -eta, -np.pi], layout.OBJECTS)
        return low.astype(np.float32), high.astype(np.float32)

    def features(self, codes: jax.Array) -> jax.Array:
        """Features float32 (N, 57) of ``hw-int16-planar`` codes (N, 57)."""
        pt, eta, phi = jnp.split(codes.astype(jnp.float32), 3, axis=1)
        present = jnp.clip(pt, 0, 1)
        electron_leads = pt[:, _ELECTRON, None] >= pt[:, _MUON, None]
        if self.reflect_eta:
            leading = jnp.where(electron_leads, eta[:, _ELECTRON, None], eta[:, _MUON, None])
            eta = eta * jnp.where(leading < 0, -1.0, 1.0)
        if self.phi_reference == "met":
            phi = phi - phi[:, :1]
        elif self.phi_reference == "lepton":
            phi = phi - jnp.where(electron_leads, phi[:, _ELECTRON, None], phi[:, _MUON, None])
        if self.phi_reference != "none":
            turns = jnp.floor(phi * np.float32(1 / _CODES_PER_TURN) + np.float32(_HALF_TURN))
            phi = (phi - turns * _CODES_PER_TURN) * present
        if self.pt == "log":
            pt = jnp.log(pt * (1 / _PT_SCALE_CODES) + 1)
        else:
            pt = _rooted(pt + _PT_SCALE_CODES, self.pt) - _rooted(_PT_SCALE_CODES, self.pt)
        return jnp.concatenate([pt, eta, phi], axis=1) * self.scales.astype(np.float32)

    def codes(self, features: jax.Array) -> jax.Array:
        """Codes (N, 57), not rounded, of features: the inverse of `features` up to a rotation and a reflection."""
        pt, eta, phi = jnp.split(features / self.scales.astype(np.float32), 3, axis=1)
        power = self._power
        if power == 0:
            pt = _PT_SCALE_CODES * jnp.expm1(jnp.clip(pt, 0, 6))
        else:
            scale = _PT_SCALE_CODES**power
            pt = jnp.clip(pt + scale, scale, (layout.PT_CODE_MAX + _PT_SCALE_CODES) ** power) ** (1 / power)
            pt = pt - _PT_SCALE_CODES
        return jnp.concatenate([pt, eta, phi], axis=1)

    def present(self, features: jax.Array) -> jax.Array:
        """1 for objects that are there, else 0, (N, 19)."""
        return (features[:, : layout.OBJECTS] > 0).astype(jnp.float32)

    def write(self, graph: Graph) -> Written:
        """Add the representation to ``graph``."""
        parts = graph.constant([layout.OBJECTS] * 3, np.int64)
        values = graph.add("Cast", INPUT, to=1)
        pt, eta, phi = graph.add_many("Split", [values, parts], 3, axis=1)
        codes = pt
        electron_leads = ""
        if self.reflect_eta or self.phi_reference == "lepton":
            electron_leads = graph.add("GreaterOrEqual", graph.column(pt, _ELECTRON), graph.column(pt, _MUON))
        if self.reflect_eta:
            leading = graph.add("Where", electron_leads, graph.column(eta, _ELECTRON), graph.column(eta, _MUON))
            # -1 or 1 from an integer code: 2 eta + 1 is never zero.
            odd = graph.add("Add", graph.add("Mul", leading, graph.constant(2.0)), graph.constant(1.0))
            sign = graph.add("Clip", odd, graph.constant(-1.0), graph.constant(1.0))
            eta = graph.add("Mul", eta, _to_all_objects(graph, sign))
        if self.phi_reference == "met":
            difference = np.eye(layout.OBJECTS)
            difference[0] -= 1
            phi = graph.add("MatMul", phi, graph.constant(difference))
        elif self.phi_reference == "lepton":
            leading = graph.add("Where", electron_leads, graph.column(phi, _ELECTRON), graph.column(phi, _MUON))
            phi = graph.add("Sub", phi, _to_all_objects(graph, leading))
        if self.phi_reference != "none":
            turns = graph.add("Mul", phi, graph.constant(1 / _CODES_PER_TURN))
            turns = graph.add("Floor", graph.add("Add", turns, graph.constant(_HALF_TURN)))
            wrapped = graph.add("Sub", phi, graph.add("Mul", turns, graph.constant(_CODES_PER_TURN)))
            present = graph.add("Clip", pt, graph.constant(0.0), graph.constant(1.0))
            phi = graph.add("Mul", wrapped, present)
        if self.pt == "log":
            ratio = graph.add("Mul", pt, graph.constant(1 / _PT_SCALE_CODES))
            pt = graph.add("Log", graph.add("Add", ratio, graph.constant(1.0)))
        else:
            root = graph.add("Add", pt, graph.constant(_PT_SCALE_CODES))
            for _ in range(_SQUARE_ROOTS[self.pt]):
                root = graph.add("Sqrt", root)
            pt = graph.add("Sub", root, graph.constant(_rooted(_PT_SCALE_CODES, self.pt)))
        return Written(graph.add("Concat", pt, eta, phi, axis=1), codes)


def _rooted(values: Any, transform: str) -> Any:
    for _ in range(_SQUARE_ROOTS[transform]):
        values = jnp.sqrt(values) if isinstance(values, jax.Array) else np.sqrt(values)
    return values


def _to_all_objects(graph: Graph, column: str) -> str:
    # A product with a row of ones: ONNX Runtime broadcasts (N, 1) to (N, 19) ten times slower.
    return graph.add("MatMul", column, graph.constant(np.ones((1, layout.OBJECTS))))


@dataclass(frozen=True)
class ErrorWeights:
    """Weights of the squared error per object class, each for pT, eta, phi."""

    met: tuple[float, float, float] = (1.5, 1.0, 1.0)
    leptons: tuple[float, float, float] = (2.5, 1.2, 1.2)
    jets: tuple[float, float, float] = (1.0, 0.3, 0.3)

    def column(self) -> NDArray[np.float64]:
        """Weights (57,) in feature order, divided by 57: the error is a mean over features."""
        table = np.empty((3, layout.OBJECTS))
        table[:, layout.MET] = np.array(self.met)[:, None]
        table[:, layout.ELECTRONS.start : layout.MUONS.stop] = np.array(self.leptons)[:, None]
        table[:, layout.JETS] = np.array(self.jets)[:, None]
        return table.reshape(-1) / FEATURES
