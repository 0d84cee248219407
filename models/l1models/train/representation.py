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
from l1models.export.graph import Graph

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
_ETA_OFFSET = layout.ETA_CODE_MAX + 1
_ETAS = (np.arange(2 * _ETA_OFFSET) - _ETA_OFFSET) * layout.ETA_LSB
_ANGLES = np.arange(layout.PHI_CODE_MIN, layout.PHI_CODE_MAX + 1) * layout.PHI_LSB


class Written(NamedTuple):
    """Names in a graph: the graph units, float32 (width, N), and the pT codes as float32, (19, N)."""

    units: str
    pt_codes: str


@dataclass(frozen=True)
class Representation:
    """Choices of the representation; absent objects are zero in all of them.

    ``pt``: "log", log(1 + pT / scale); or ((1 + pT / scale)^n - 1) / n for n = 1/8 ("eighth-root") to 1
    ("linear"), which have the same slope at zero and are cheaper: the larger n, the more a model looks at hard
    objects (the reweighting of arXiv:2206.14225). ``pt_scales``: that of MET, leptons and jets in GeV.
    ``phi_reference``: angles relative to "met", to the leading "lepton" (electron or muon), or "none".
    ``reflect_eta``: mirrors the event so that the leading lepton has eta >= 0.

    ``coordinates``: "polar", pT, eta / 2 and phi of all objects; "cos-sin", which has cosine and sine in place of phi;
    or "cartesian", px, py and pz of a momentum whose direction stays and whose length is compressed as ``pt`` says.
    ``presence``: 19 more features, 1 for an object that is there.
    """

    pt: Literal["log", "eighth-root", "fourth-root", "square-root", "linear"] = "fourth-root"
    phi_reference: Literal["met", "lepton", "none"] = "met"
    reflect_eta: bool = False
    coordinates: Literal["polar", "cos-sin", "cartesian"] = "polar"
    presence: bool = False
    pt_scales: tuple[float, float, float] = (PT_SCALE, PT_SCALE, PT_SCALE)

    @property
    def width(self) -> int:
        """Number of features."""
        return layout.OBJECTS * ({"polar": 3, "cos-sin": 4, "cartesian": 3}[self.coordinates] + self.presence)

    @property
    def _power(self) -> float:
        return 0.0 if self.pt == "log" else 0.5 ** _SQUARE_ROOTS[self.pt]

    @property
    def _pt_scale_codes(self) -> NDArray[np.float32]:
        """Scale of each slot in pT codes, (19,)."""
        return by_class(np.array(self.pt_scales) / layout.PT_LSB).astype(np.float32)

    @property
    def scales(self) -> NDArray[np.float64]:
        """Feature per graph unit, (width,): eta / 2 and phi in radians."""
        power, ones = self._power, np.ones(layout.OBJECTS)
        pt = ones if power == 0 else 1 / (power * self._pt_scale_codes.astype(np.float64) ** power)
        parts = {
            "polar": [pt, ones * layout.ETA_LSB / 2, ones * layout.PHI_LSB],
            "cos-sin": [pt, ones * layout.ETA_LSB / 2, ones, ones],
            "cartesian": [pt, pt, pt],
        }[self.coordinates]
        return np.concatenate([*parts, ones] if self.presence else parts)

    @property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lowest and highest value each feature takes on the hardware grid, two times (width,)."""
        ones = np.ones(layout.OBJECTS)
        eta = ones * _ETAS[-1] / 2
        pt = self._compressed(layout.PT_CODE_MAX)
        momentum = self._compressed(layout.PT_CODE_MAX * np.cosh(_ETAS[-1]))
        high = {
            "polar": [pt, eta, np.pi * ones],
            "cos-sin": [pt, eta, ones, ones],
            "cartesian": [momentum, momentum, momentum],
        }[self.coordinates]
        low = [-part for part in high]
        if self.coordinates != "cartesian":
            low[0] = 0 * ones
        if self.presence:
            high, low = [*high, ones], [*low, 0 * ones]
        return np.concatenate(low).astype(np.float32), np.concatenate(high).astype(np.float32)

    def _compressed(self, codes: float) -> NDArray[np.float64]:
        ratio, power = codes / self._pt_scale_codes.astype(np.float64), self._power
        return np.log1p(ratio) if power == 0 else ((1 + ratio) ** power - 1) / power

    def features(self, codes: jax.Array) -> jax.Array:
        """Features float32 (N, width) of ``hw-int16-planar`` codes (N, 57)."""
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
        angle, slope = phi * np.float32(layout.PHI_LSB), eta * np.float32(layout.ETA_LSB)
        if self.coordinates == "cartesian":
            pt = pt * jnp.cosh(slope)
        scale = self._pt_scale_codes
        if self.pt == "log":
            pt = jnp.log(pt * (1 / scale) + 1)
        else:
            pt = _rooted(pt + scale, self.pt) - _rooted(scale, self.pt)
        if self.coordinates == "polar":
            parts = [pt, eta, phi]
        elif self.coordinates == "cos-sin":
            parts = [pt, eta, jnp.cos(angle) * present, jnp.sin(angle) * present]
        else:
            across = pt / jnp.cosh(slope)
            parts = [across * jnp.cos(angle), across * jnp.sin(angle), pt * jnp.tanh(slope)]
        if self.presence:
            parts = [*parts, present]
        return jnp.concatenate(parts, axis=1) * self.scales.astype(np.float32)

    def codes(self, features: jax.Array) -> jax.Array:
        """Codes (N, 57), not rounded, of features: the inverse of `features` up to a rotation and a reflection."""
        units = features / self.scales.astype(np.float32)
        parts = [units[:, first : first + layout.OBJECTS] for first in range(0, self.width, layout.OBJECTS)]
        if self.coordinates == "polar":
            pt, eta, phi = self._expanded(parts[0]), parts[1], parts[2]
        elif self.coordinates == "cos-sin":
            pt, eta, phi = self._expanded(parts[0]), parts[1], jnp.arctan2(parts[3], parts[2]) / layout.PHI_LSB
        else:
            across = jnp.sqrt(parts[0] ** 2 + parts[1] ** 2)
            length = jnp.sqrt(across**2 + parts[2] ** 2)
            pt = self._expanded(length) * across / jnp.maximum(length, 1e-12)
            eta = jnp.arcsinh(parts[2] / jnp.maximum(across, 1e-6)) / layout.ETA_LSB
            eta = jnp.clip(eta, -layout.ETA_CODE_MAX, layout.ETA_CODE_MAX)
            phi = jnp.arctan2(parts[1], parts[0]) / layout.PHI_LSB
        return jnp.concatenate([pt, eta, phi], axis=1)

    def _expanded(self, units: jax.Array) -> jax.Array:
        """pT codes of compressed ones, the other way round than `features`; cartesian: of momenta."""
        power, scale = self._power, self._pt_scale_codes
        if power == 0:
            return jnp.expm1(jnp.clip(units, 0, 9)) * scale
        largest = layout.PT_CODE_MAX * (np.cosh(_ETAS[-1]) if self.coordinates == "cartesian" else 1)
        rooted = jnp.clip(units + scale**power, scale**power, ((largest + scale) ** power).astype(np.float32))
        return jnp.asarray(rooted ** (1 / power) - scale)

    def present(self, features: jax.Array) -> jax.Array:
        """1 for objects that are there, else 0, (N, 19)."""
        if self.coordinates == "cartesian":
            x, y, z = (features[:, n * layout.OBJECTS : (n + 1) * layout.OBJECTS] for n in range(3))
            return ((x != 0) | (y != 0) | (z != 0)).astype(jnp.float32)
        return (features[:, : layout.OBJECTS] > 0).astype(jnp.float32)

    def write(self, graph: Graph) -> Written:
        """Add the representation to ``graph``."""
        planes = graph.split(graph.codes(), [layout.OBJECTS] * 3)
        pt, eta, phi = (graph.add("Cast", plane, to=1) for plane in planes)
        codes = pt
        electron_leads = present = ""
        if self.reflect_eta or self.phi_reference == "lepton":
            electron_leads = graph.add("GreaterOrEqual", graph.row(pt, _ELECTRON), graph.row(pt, _MUON))
        if self.reflect_eta:
            leading = graph.add("Where", electron_leads, graph.row(eta, _ELECTRON), graph.row(eta, _MUON))
            # -1 or 1 from an integer code: 2 eta + 1 is never zero.
            odd = graph.add("Add", graph.add("Mul", leading, graph.constant(2.0)), graph.constant(1.0))
            sign = graph.add("Clip", odd, graph.constant(-1.0), graph.constant(1.0))
            eta = graph.add("Mul", eta, sign)
        if self.phi_reference == "met":
            phi = graph.add("Sub", phi, graph.row(phi, 0))
        elif self.phi_reference == "lepton":
            leading = graph.add("Where", electron_leads, graph.row(phi, _ELECTRON), graph.row(phi, _MUON))
            phi = graph.add("Sub", phi, leading)
        if self.phi_reference != "none":
            turns = graph.add("Mul", phi, graph.constant(1 / _CODES_PER_TURN))
            turns = graph.add("Floor", graph.add("Add", turns, graph.constant(_HALF_TURN)))
            wrapped = graph.add("Sub", phi, graph.add("Mul", turns, graph.constant(_CODES_PER_TURN)))
            present = graph.add("Clip", pt, graph.constant(0.0), graph.constant(1.0))
            phi = graph.add("Mul", wrapped, present)
        if not present and (self.coordinates == "cos-sin" or self.presence):
            present = graph.add("Clip", pt, graph.constant(0.0), graph.constant(1.0))
        if self.coordinates == "cartesian":
            pt = graph.add("Mul", pt, graph.look_up(np.cosh(_ETAS), eta, _ETA_OFFSET))
        scale = self._pt_scale_codes
        if len(set(self.pt_scales)) == 1:
            scale = scale[:1]
        if self.pt == "log":
            ratio = graph.add("Mul", pt, graph.for_rows(1 / scale))
            pt = graph.add("Log", graph.add("Add", ratio, graph.constant(1.0)))
        else:
            root = graph.add("Add", pt, graph.for_rows(scale))
            for _ in range(_SQUARE_ROOTS[self.pt]):
                root = graph.add("Sqrt", root)
            pt = graph.add("Sub", root, graph.for_rows(_rooted(scale, self.pt)))
        outputs = [pt, eta, phi]
        if self.coordinates != "polar":
            cosine, sine = (graph.look_up(f(_ANGLES), phi, -layout.PHI_CODE_MIN) for f in (np.cos, np.sin))
            if self.coordinates == "cos-sin":
                outputs = [pt, eta, graph.add("Mul", cosine, present), graph.add("Mul", sine, present)]
            else:
                across = graph.add("Mul", pt, graph.look_up(1 / np.cosh(_ETAS), eta, _ETA_OFFSET))
                along = graph.add("Mul", pt, graph.look_up(np.tanh(_ETAS), eta, _ETA_OFFSET))
                outputs = [graph.add("Mul", across, cosine), graph.add("Mul", across, sine), along]
        if self.presence:
            outputs = [*outputs, present]
        return Written(graph.add("Concat", *outputs, axis=0), codes)


def by_class(values: NDArray[Any]) -> NDArray[Any]:
    """Values of MET, leptons and jets as values of each slot, (19,)."""
    return np.repeat(values, [1, layout.JETS.start - 1, layout.OBJECTS - layout.JETS.start])


def _rooted(values: Any, transform: str) -> Any:
    for _ in range(_SQUARE_ROOTS[transform]):
        values = jnp.sqrt(values) if isinstance(values, jax.Array) else np.sqrt(values)
    return values


@dataclass(frozen=True)
class ErrorWeights:
    """Weights of the squared error per object class, each for pT, eta, phi (cartesian: px and py take that of pT, pz
    that of eta; "cos-sin": both take that of phi).

    The weight of the k-th object of its class is multiplied by k^-``rank_fall``; ``presence``: weight of the features
    that say which objects are there.
    """

    met: tuple[float, float, float] = (1.5, 1.0, 1.0)
    leptons: tuple[float, float, float] = (2.5, 1.2, 1.2)
    jets: tuple[float, float, float] = (1.0, 0.3, 0.3)
    rank_fall: float = 0.0
    presence: float = 0.5

    def column(self, representation: Representation) -> NDArray[np.float64]:
        """Weights (width,) in feature order, divided by 57: the error is a mean over the numbers of an event."""
        pt, eta, phi = (by_class(np.array(values)) for values in zip(self.met, self.leptons, self.jets, strict=True))
        parts = {"polar": [pt, eta, phi], "cos-sin": [pt, eta, phi, phi], "cartesian": [pt, pt, eta]}
        table = np.stack(parts[representation.coordinates])
        table = table * _RANKS**-self.rank_fall
        if representation.presence:
            table = np.concatenate([table, np.full((1, layout.OBJECTS), self.presence)])
        return table.reshape(-1) / FEATURES


# Place of each slot in its class, from 1.
_RANKS = np.concatenate([np.arange(1.0, n + 1) for n in (1, 4, 4, 10)])
