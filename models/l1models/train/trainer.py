"""The loop every model goes through: batches in a seeded order, compiled chunks of steps, validation, stop rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from l1models.errors import InputRefused
from l1models.train.model import Model, Params
from l1models.train.objectives import Objective
from l1models.train.optimizer import Optimizer

# Steps per compiled call: Python's share of a step becomes negligible.
CHUNK_STEPS = 50
SCORE_BATCH = 8192

Codes = NDArray[np.int16]
Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Phase:
    """An objective and how long and how fast it is minimised; ``steps`` and ``look_every`` in steps."""

    objective: Objective
    steps: int
    batch_size: int = 1024
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    clip: float = 1.0
    average_decay: float = 0.999
    look_every: int = 2000


@dataclass(frozen=True)
class Outcome:
    """Averaged parameters, whether the phase ran to its end, its last measures and seconds taken."""

    params: Params
    completed: bool
    measures: dict[str, float]
    seconds: float


def run_phase(
    model: Model, params: Params, phase: Phase, training: Codes, validation: Codes, seed: int, log: Log
) -> Outcome:
    """Minimise the phase's objective over ``training`` codes (N, 57); the same seed gives the same parameters.

    The result is the last average that was healthy. A phase whose objective calls two looks in a row unhealthy,
    or whose loss stops being finite, ends there.
    """
    started = time.monotonic()
    optimizer = Optimizer(phase.steps, phase.learning_rate, phase.final_learning_rate, phase.clip, phase.average_decay)
    key = jax.random.key(seed)
    start_key, key = jax.random.split(key)

    def start(params: Params, codes: jax.Array) -> Any:
        return phase.objective.start(model, params, model.representation.features(codes), start_key)

    state = jax.jit(start)(params, validation[:SCORE_BATCH])
    carry = (params, jax.jit(optimizer.start)(params), state, key)
    chunk = jax.jit(lambda carry, batches: jax.lax.scan(_step(model, phase.objective, optimizer), carry, batches))
    best, measures, strikes = params, dict[str, float](), 0
    history: list[dict[str, jax.Array]] = []
    batches = _batches(training, phase.batch_size, seed)
    done = 0
    while done < phase.steps:
        steps = min(CHUNK_STEPS, phase.steps - done, phase.look_every - done % phase.look_every)
        carry, logged = chunk(carry, np.stack([next(batches) for _ in range(steps)]))
        history.append(logged)
        done += steps
        if done % phase.look_every and done < phase.steps:
            continue
        average = carry[1].average
        measures = {
            name: float(np.mean(np.concatenate([np.asarray(entry[name]) for entry in history]))) for name in logged
        }
        measures["validation_score"] = float(np.mean(scores(model, average, validation)))
        history.clear()
        good = all(math.isfinite(value) for value in measures.values()) and phase.objective.healthy(measures)
        log({"step": done, "seconds": round(time.monotonic() - started, 1), "healthy": good, **measures})
        if good:
            best, strikes = average, 0
        else:
            strikes += 1
            if strikes == 2 or not math.isfinite(measures["loss"]):
                return Outcome(best, False, measures, time.monotonic() - started)
    return Outcome(best, strikes == 0, measures, time.monotonic() - started)


def scores(model: Model, params: Params, codes: Codes) -> NDArray[np.float32]:
    """Scores (N,) of codes (N, 57) as the trainer computes them."""
    score = _compiled_score(model)
    padded = np.zeros((-(-len(codes) // SCORE_BATCH) * SCORE_BATCH, codes.shape[1]), np.int16)
    padded[: len(codes)] = codes
    parts = [np.asarray(score(params, part)) for part in padded.reshape(-1, SCORE_BATCH, codes.shape[1])]
    return np.concatenate(parts)[: len(codes)]


def _compiled_score(model: Model) -> Callable[[Params, Codes], jax.Array]:
    if model not in _COMPILED:
        _COMPILED[model] = jax.jit(lambda params, codes: model.score(params, model.representation.features(codes)))
    return _COMPILED[model]


_COMPILED: dict[Model, Callable[[Params, Codes], jax.Array]] = {}


def _step(model: Model, objective: Objective, optimizer: Optimizer) -> Callable[[Any, Codes], Any]:
    def step(carry: Any, codes: Any) -> Any:
        params, optimizer_state, state, key = carry
        key, step_key = jax.random.split(key)
        features = model.representation.features(codes)

        def loss(params: Params) -> Any:
            return objective.loss(model, params, state, features, step_key)

        (value, (state, measures)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        params, optimizer_state = optimizer.step(params, gradients, optimizer_state)
        return (params, optimizer_state, state, key), {"loss": value, **measures}

    return step


def _batches(codes: Codes, size: int, seed: int) -> Iterator[Codes]:
    """Batches without end, every event once per epoch, but for the remainder, which the next shuffle mixes in."""
    if len(codes) < size:
        raise InputRefused(f"training: expected at least one batch of {size} background events, received {len(codes)}")
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(codes))
        for first in range(0, len(codes) - size + 1, size):
            yield codes[order[first : first + size]]
