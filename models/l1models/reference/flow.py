"""A normalizing flow: -log p of an event, what a density could know of it.

p(event) = P(numbers of electrons, muons, jets) x p(MET, objects | which are there). The first factor is a table. The
second is a flow of affine couplings (Dinh et al., arXiv:1605.08803) from the Gaussian coordinates of `marginals` to
independent ones of density exp(-sqrt(1 + z^2)), conditional on which objects are there; the coordinates of an absent
object are zero, stay zero and count for nothing, so events of any number of objects have densities, each in its own
dimension. That base (Barndorff-Nielsen's hyperbolic distribution, Proc. R. Soc. A 353 (1977) 401) has exponential
tails: behind a Gaussian a coupling that stretches a rare event too far costs the square, and such background events,
not signals, make up the tail of the score.

A density needs a measure, and -log p another score for another one. Here it is that of the normalized autoencoders
(`train.event_chains`): dh d(eta) d(phi) / volume for each object, with h = log(1 + pT / 10 GeV), and dh for MET; its
direction is uniform and left out. The grid's codes are spread evenly over their cells while training (Theis et al.,
arXiv:1511.01844), and so are the two mirror images of an event in eta and in phi, which are equally likely.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import k1

from l1models import layout
from l1models.export.graph import Graph
from l1models.reference.marginals import ETA_CODES, PT_CODES, Marginals
from l1models.reference.reference import Codes
from l1models.train.optimizer import Optimizer
from l1models.train.representation import FEATURES, Representation

LAYERS = 8
HIDDEN = 96
BATCH = 1024
CHUNK_STEPS = 100
# Logarithm of the largest stretch of one coupling.
_LARGEST_STRETCH = 1.5
# Volumes of the reference measure, those of the shipped normalized autoencoders.
_LEPTON_VOLUME, _JET_VOLUME = 1.0, 10.0
# Relative difference that the parity set allows: couplings stretch rounding errors too, by up to e^12 in events far
# from any background, whose scores are 10^6 and more. On background graph and trainer differ by 1e-7.
TOLERANCE = 2e-4
# Added to -log p: scores are positive, as those of every other bundle.
SHIFT = 100.0
_SCORE_BATCH = 8192
_COUNTS = (layout.ELECTRONS, layout.MUONS, layout.JETS)
_SIZES = tuple(part.stop - part.start + 1 for part in _COUNTS)
# Of the integral of exp(1 - sqrt(1 + z^2)): 2 e K_1(1).
_LOG_NORM = float(np.log(2 * np.e * k1(1.0)))
# pT codes, eta codes, and phi codes relative to MET, as exact numbers.
_RELATIVE = Representation("linear", "met")

# Weights of the couplings, the first axis of each array.
Params = dict[str, Any]
# 1 for coordinates that a coupling reads, 0 for those that it moves, (couplings, 57).
Masks = NDArray[np.float32]


@dataclass(frozen=True)
class Flow:
    """``counts`` (5 x 5 x 11,): -log P of the numbers of objects; ``masks`` and ``params`` of the couplings."""

    marginals: Marginals
    counts: NDArray[np.float64]
    masks: Masks
    params: Params
    meaning: str = (
        f"{SHIFT:.0f} - log of the density with respect to dh d(eta) d(phi) / volume per object, "
        f"h = log(1 + pT / 10 GeV), volume {_LEPTON_VOLUME:.0f} (leptons) and {_JET_VOLUME:.0f} (jets); no unit"
    )

    @property
    def parameters(self) -> int:
        """Weights, biases and the tables."""
        weights = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.params))
        return weights + self.counts.size + self.marginals.level.size + self.marginals.eta.size

    @classmethod
    def fit(cls, background: Codes, steps: int, seed: int) -> Flow:
        """Maximum likelihood on background codes (N, 57); the same seed gives the same flow."""
        marginals = Marginals.fit(background)
        keys = jax.random.split(jax.random.key(seed), 2)
        params, masks = initialise(keys[0]), draw_masks(seed)
        optimizer = Optimizer(steps, 2e-3, 1e-5, 5.0, 0.999)
        tables = marginals.level.astype(np.float32), marginals.eta.astype(np.float32)

        def loss(params: Params, key: jax.Array, data: Any) -> jax.Array:
            events, level, eta = data
            row_key, cell_key, mirror_key = jax.random.split(key, 3)
            codes = events[jax.random.randint(row_key, (BATCH,), 0, len(events))].astype(jnp.float32)
            cell = jax.random.uniform(cell_key, codes.shape, minval=-0.5, maxval=0.5)
            points, present = _points(level, eta, codes, cell)
            sign = jax.random.rademacher(mirror_key, (BATCH, 2)).astype(jnp.float32)
            signs = jnp.stack([jnp.ones(BATCH), sign[:, 0], sign[:, 1]], axis=1)
            points = points * jnp.repeat(signs, layout.OBJECTS, axis=1)
            return jnp.mean(_energy(params, masks, points, present))

        @jax.jit
        def chunk(first: jax.Array, last: jax.Array, state: Any, data: Any) -> Any:
            def step(number: jax.Array, state: Any) -> Any:
                params, moments, total = state
                value, gradient = jax.value_and_grad(loss)(params, jax.random.fold_in(keys[1], number), data)
                return (*optimizer.step(params, gradient, moments), total + value)

            return jax.lax.fori_loop(first, last, step, (*state, jnp.zeros(())))

        state = (params, optimizer.start(params))
        data = jax.device_put((background, *tables))
        for first in range(0, steps, CHUNK_STEPS):
            last = min(first + CHUNK_STEPS, steps)
            *state, total = chunk(first, last, tuple(state), data)
            if last % (10 * CHUNK_STEPS) == 0 or last == steps:
                print(f"flow step {last}/{steps} loss={float(total) / (last - first):.4f}", file=sys.stderr, flush=True)
        return cls(marginals, _counts(background), masks, jax.tree.map(np.asarray, state[1].average))

    def score(self, codes: Codes) -> NDArray[np.float32]:
        """As JAX computes them."""
        level, eta = (jnp.asarray(table, jnp.float32) for table in (self.marginals.level, self.marginals.eta))

        @jax.jit
        def energy(codes: jax.Array) -> jax.Array:
            return _energy(self.params, self.masks, *_points(level, eta, codes.astype(jnp.float32), 0.0))

        padded = np.zeros((-(-len(codes) // _SCORE_BATCH) * _SCORE_BATCH, FEATURES), np.int16)
        padded[: len(codes)] = codes
        parts = [np.asarray(energy(part)) for part in padded.reshape(-1, _SCORE_BATCH, FEATURES)]
        rest = np.concatenate(parts)[: len(codes)].astype(np.float64)
        return np.maximum(rest + self._fixed(codes) + SHIFT, 0).astype(np.float32)

    def _fixed(self, codes: Codes) -> NDArray[np.float64]:
        """What training does not change: derivatives of the marginal coordinates, volumes, numbers of objects."""
        pt, eta, _ = codes.reshape(-1, 3, layout.OBJECTS).astype(np.int64).transpose(1, 0, 2)
        slots = np.arange(layout.OBJECTS)
        pt_terms, eta_terms = self._terms()
        number = [np.sum(pt[:, part] > 0, axis=1) for part in _COUNTS]
        return (
            pt_terms[slots, pt].sum(axis=1)
            + (eta_terms[slots, eta + ETA_CODES // 2] * (pt > 0)).sum(axis=1)
            + self.counts[np.ravel_multi_index(number, _SIZES)]
        )

    def _terms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Additions to the score per slot and pT code, and per slot and eta code of objects that are there."""
        volumes = np.repeat([1.0, _LEPTON_VOLUME, _JET_VOLUME], [1, 8, 10])
        dimensions = np.repeat([1.0, 3.0], [1, 18])
        pt = -self.marginals.pt_gain + (dimensions * _LOG_NORM - np.log(volumes))[:, None]
        # The Jacobian of the plane: du dv = dE d(phi).
        pt[1:, 0] = 0
        return pt, -self.marginals.eta_gain

    def write(self, graph: Graph) -> str:
        """Table look-ups, couplings and the sum."""
        width = layout.OBJECTS
        units, pt = _RELATIVE.write(graph)
        _, eta, phi = graph.split(units, [width] * 3)
        pt_terms, eta_terms = self._terms()
        slots = np.arange(width)
        present = graph.add("Clip", pt, graph.constant(0.0), graph.constant(1.0))
        always = np.zeros(width)
        always[0] = 1
        there = graph.add("Max", present, graph.for_rows(always))
        angles = np.arange(layout.PHI_CODES) * layout.PHI_LSB + layout.PHI_CODE_MIN * layout.PHI_LSB
        turned = np.full(width, float(-layout.PHI_CODE_MIN))
        radius = graph.look_up(_radius(self.marginals.level), pt, slots * PT_CODES)
        u = graph.add("Mul", radius, graph.look_up(np.cos(angles), phi, turned))
        v = graph.add("Mul", radius, graph.look_up(np.sin(angles), phi, turned))
        eta_at = slots * ETA_CODES + ETA_CODES // 2
        w = graph.add("Mul", graph.look_up(self.marginals.eta, eta, eta_at), present)
        points = graph.add("Concat", u, v, w, axis=0)
        plane = coordinates(np.eye(width))
        mask = graph.linear(there, plane)

        total = graph.weighted_sum(graph.look_up(pt_terms, pt, slots * PT_CODES), np.ones(width))
        eta_part = graph.add("Mul", graph.look_up(eta_terms, eta, eta_at), present)
        total = graph.add("Add", total, graph.weighted_sum(eta_part, np.ones(width)))
        index = np.zeros((width, 1))
        for part, stride in zip(_COUNTS, (_SIZES[1] * _SIZES[2], _SIZES[2], 1), strict=True):
            index[part] = stride
        number = graph.linear(present, index)
        total = graph.add("Add", total, graph.look_up(self.counts + SHIFT, number, 0.0))
        for coupling, read in enumerate(self.masks):
            layer = {name: weights[coupling] for name, weights in self.params.items()}
            kernels = _masked(layer, read)
            hidden = graph.linear(points, kernels["points"], layer["bias"])
            context = graph.linear(there, kernels["present"])
            hidden = graph.add("Relu", graph.add("Add", hidden, context))
            hidden = graph.add("Relu", graph.linear(hidden, layer["middle"], layer["middle_bias"]))
            raw = graph.linear(hidden, kernels["stretch"], kernels["stretch_bias"])
            shift = graph.linear(hidden, kernels["shift"], kernels["shift_bias"])
            length = graph.add("Sqrt", graph.add("Add", graph.add("Mul", raw, raw), graph.constant(1.0)))
            bounded = graph.add("Mul", graph.add("Div", raw, length), graph.constant(_LARGEST_STRETCH))
            stretch = graph.add("Mul", bounded, mask)
            moved = graph.add("Mul", points, graph.add("Exp", stretch))
            points = graph.add("Add", moved, graph.add("Mul", shift, mask))
            total = graph.add("Sub", total, graph.weighted_sum(stretch, np.ones(FEATURES)))
        length = graph.add("Sqrt", graph.add("Add", graph.add("Mul", points, points), graph.constant(1.0)))
        energy = graph.weighted_sum(graph.add("Sub", length, graph.constant(1.0)), np.ones(FEATURES))
        return graph.add("Relu", graph.add("Add", total, energy))

    def describe(self) -> dict[str, Any]:
        """Couplings and widths."""
        text = f"A normalizing flow of {len(self.masks)} affine couplings of width {HIDDEN}"
        return {"type": "flow", "couplings": len(self.masks), "hidden": HIDDEN, "description": text}


def initialise(key: jax.Array) -> Params:
    """Couplings that begin as the identity."""
    first, second, third = jax.random.split(key, 3)
    scale = np.sqrt(2 / (FEATURES + layout.OBJECTS))
    return {
        "points": jax.random.normal(first, (LAYERS, FEATURES, HIDDEN)) * scale,
        "present": jax.random.normal(second, (LAYERS, layout.OBJECTS, HIDDEN)) * scale,
        "bias": jnp.zeros((LAYERS, HIDDEN)),
        "middle": jax.random.normal(third, (LAYERS, HIDDEN, HIDDEN)) * np.sqrt(2 / HIDDEN),
        "middle_bias": jnp.zeros((LAYERS, HIDDEN)),
        "stretch": jnp.zeros((LAYERS, HIDDEN, FEATURES)),
        "stretch_bias": jnp.zeros((LAYERS, FEATURES)),
        "shift": jnp.zeros((LAYERS, HIDDEN, FEATURES)),
        "shift_bias": jnp.zeros((LAYERS, FEATURES)),
    }


def draw_masks(seed: int) -> Masks:
    """Half of the coordinates each; every second mask is the one before it turned round."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((LAYERS, FEATURES), np.float32)
    for pair in range(0, LAYERS, 2):
        masks[pair, rng.permutation(FEATURES)[: FEATURES // 2]] = 1
        masks[pair + 1] = 1 - masks[pair]
    return masks


def _masked(layer: dict[str, Any], mask: Any) -> dict[str, Any]:
    """Kernels that read what the mask says and move the rest."""
    moved = 1 - mask
    return {
        "points": layer["points"] * mask[:, None],
        "present": layer["present"],
        **{name: layer[name] * moved for name in ("stretch", "stretch_bias", "shift", "shift_bias")},
    }


def _radius(level: Any) -> Any:
    """Distances from the origin of the plane; MET's coordinate as it is. (..., 19, codes) or (N, 19)."""
    numpy = jnp if isinstance(level, jax.Array) else np
    slot_axis = 1 if isinstance(level, jax.Array) else 0
    met, objects = numpy.split(level, [1], axis=slot_axis)
    # The derivative of the root at zero is not finite; absent objects are masked outside.
    return numpy.concatenate([met, numpy.sqrt(2 * numpy.maximum(objects, 0))], axis=slot_axis)


def coordinates(present: Any) -> Any:
    """Which of the 57 coordinates u, v and eta are there, (N, 57) of present objects (N, 19): MET has one."""
    numpy = jnp if isinstance(present, jax.Array) else np
    no_met = numpy.concatenate([numpy.zeros((len(present), 1)), present[:, 1:]], axis=1)
    return numpy.concatenate([present, no_met, no_met], axis=1)


def _points(level: jax.Array, eta: jax.Array, codes: jax.Array, cell: Any) -> tuple[jax.Array, jax.Array]:
    """Gaussian coordinates (N, 57) of codes moved by ``cell`` inside their cells, and the objects there (N, 19)."""
    features = _RELATIVE.features(codes) / _RELATIVE.scales.astype(np.float32)
    present = jnp.clip(codes[:, : layout.OBJECTS], 0, 1).at[:, 0].set(1)
    pt_at, eta_at, phi_at = jnp.split(jnp.round(features) + cell, 3, axis=1)
    radius = _radius(_interpolated(level, pt_at)) * present
    angle = phi_at * np.float32(layout.PHI_LSB)
    angle = angle.at[:, 0].set(0)
    gaussian = _interpolated(eta, eta_at + ETA_CODES // 2) * present
    gaussian = gaussian.at[:, 0].set(0)
    return jnp.concatenate([radius * jnp.cos(angle), radius * jnp.sin(angle), gaussian], axis=1), present


def _interpolated(table: jax.Array, at: jax.Array) -> jax.Array:
    """Values (N, 19) between the entries of ``table`` (19, codes)."""
    at = jnp.clip(at, 0, table.shape[1] - 1)
    below = jnp.clip(jnp.floor(at), 0, table.shape[1] - 2).astype(jnp.int32)
    slots = jnp.arange(layout.OBJECTS)
    low, high = table[slots, below], table[slots, below + 1]
    return low + (at - below) * (high - low)


def transform(params: Params, masks: Masks, points: jax.Array, present: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Points (N, 57) behind the couplings, and the logarithm of the volume there of a unit of volume here, (N,)."""
    there = coordinates(present)

    def couple(state: Any, coupling: Any) -> Any:
        points, stretched = state
        layer, mask = coupling
        kernels = _masked(layer, mask)
        hidden = jax.nn.relu(points @ kernels["points"] + present @ kernels["present"] + layer["bias"])
        hidden = jax.nn.relu(hidden @ layer["middle"] + layer["middle_bias"])
        raw = hidden @ kernels["stretch"] + kernels["stretch_bias"]
        stretch = _LARGEST_STRETCH * raw / jnp.sqrt(1 + raw * raw) * there
        points = points * jnp.exp(stretch) + (hidden @ kernels["shift"] + kernels["shift_bias"]) * there
        return (points, stretched + jnp.sum(stretch, axis=1)), None

    end, _ = jax.lax.scan(couple, (points, jnp.zeros(len(points))), (params, masks))
    return end


def _energy(params: Params, masks: Masks, points: jax.Array, present: jax.Array) -> jax.Array:
    """-log of the density in the coordinates of `marginals`, up to constants, (N,)."""
    points, stretched = transform(params, masks, points, present)
    return jnp.sum(jnp.sqrt(1 + points**2) - 1, axis=1) - stretched


def _counts(background: Codes) -> NDArray[np.float64]:
    """-log P of the numbers of electrons, muons and jets; what was never seen is held for a product of the three."""
    pt = background[:, : layout.OBJECTS]
    numbers = [np.sum(pt[:, part] > 0, axis=1) for part in _COUNTS]
    single = [(np.bincount(n, minlength=size) + 0.5) for n, size in zip(numbers, _SIZES, strict=True)]
    product = np.einsum("i,j,k->ijk", *[one / one.sum() for one in single]).reshape(-1)
    seen = np.bincount(np.ravel_multi_index(numbers, _SIZES), minlength=product.size)
    return -np.log((seen + 10 * product) / (len(pt) + 10))
