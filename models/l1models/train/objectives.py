"""What a training phase minimises. An objective holds settings; its state between steps is a tree of arrays.

`reconstruction` trains an autoencoder; `normalization` is the second phase of a normalized autoencoder
(Yoon et al., arXiv:2105.05735; in collider physics Dillon et al., arXiv:2206.14225): with the score E as the energy of
p(x) = exp(-E(x) / T) / Z, the gradient of the mean negative log-likelihood is that of <E>_data - <E>_model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from l1models.train import latent_chains
from l1models.train.autoencoder import Autoencoder
from l1models.train.model import Model, Params
from l1models.train.sampling import sample_in_box
from l1models.train.variational import VariationalAutoencoder

# How far chains may leave the hardware grid, in feature units: absent objects lie on its very edge.
_MARGIN = 1.0

Measures = dict[str, jax.Array]


class Objective(Protocol):
    """A loss with a state of its own."""

    def start(self, model: Any, params: Params, features: jax.Array, key: jax.Array) -> Any:
        """State before the first step; ``features`` are background events (N, 57)."""

    def loss(
        self, model: Any, params: Params, state: Any, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Measures]]:
        """Loss of one batch, the next state and what to log."""

    def healthy(self, measures: dict[str, float]) -> bool:
        """Whether training is still on course, judged by the means since the last look and ``validation_score``."""


@dataclass(frozen=True)
class Reconstruction:
    """Mean score of the background."""

    def start(self, model: Model, params: Params, features: jax.Array, key: jax.Array) -> Any:
        """No state."""
        return ()

    def loss(
        self, model: Model, params: Params, state: Any, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Measures]]:
        """Mean score."""
        if isinstance(model, Autoencoder):
            params = model.with_fixed_energy(params)
        loss = jnp.mean(model.score(params, features))
        return loss, (state, {"energy_data": loss})

    def healthy(self, measures: dict[str, float]) -> bool:
        """Nothing can drift away here but into values that are not finite, which the trainer refuses."""
        return True


@dataclass(frozen=True)
class Variational:
    """Negative evidence bound: reconstruction error + ``divergence_weight`` x Kullback-Leibler divergence.

    Half the weight is the variance with which the error, per feature, is taken for a Gaussian's.
    """

    divergence_weight: float = 3e-4

    def start(self, model: VariationalAutoencoder, params: Params, features: jax.Array, key: jax.Array) -> Any:
        """No state."""
        return ()

    def loss(
        self, model: VariationalAutoencoder, params: Params, state: Any, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Measures]]:
        """Mean of the bound at one latent sample per event."""
        errors, divergences = model.sampled_error_and_divergence(params, features, key)
        error, divergence = jnp.mean(errors), jnp.mean(divergences)
        loss = error + self.divergence_weight * divergence
        return loss, (state, {"energy_data": error, "divergence": divergence})

    def healthy(self, measures: dict[str, float]) -> bool:
        """Only values that are not finite end it; a divergence of zero is a collapsed posterior, and is logged."""
        return True


class Chains(NamedTuple):
    """Persistent latent points (chains, latent), step lengths in both spaces, and E0."""

    latent: jax.Array
    latent_sigma: jax.Array
    input_sigma: jax.Array
    reference: jax.Array


@dataclass(frozen=True)
class Normalization:
    """Contrastive divergence against model samples that start on the decoder manifold.

    Latent chains on the unit sphere begin at background events, sample q(z) ~ exp(-E(g(z)) / T) and persist
    from step to step, but for ``restart_fraction`` of them, which begin again. From g(z) chains in the input
    space, kept near the box of the hardware grid, sample p(x) ~ exp(-E(x) / T). With E0 the mean score of the
    background when the phase begins, T = ``temperature`` x E0. Step lengths begin at ``latent_sigma`` (radians)
    and ``input_sigma`` (in units of sqrt(E0)) and follow the energy's curvature, which training changes, so that
    ``target_acceptance`` of the proposals are accepted (0.574 is best for Langevin chains: Roberts and Rosenthal,
    J. R. Stat. Soc. B 60 (1998) 255). Loss: (E+ - E-) / E0 + ``negative_energy_penalty`` (E- / E0)^2.
    Divergence: the validation score above ``largest_rise`` x E0, or acceptance in either space below
    ``smallest_acceptance``.
    """

    chains: int = 256
    temperature: float = 0.1
    latent_steps: int = 12
    latent_sigma: float = 0.03
    input_steps: int = 15
    input_sigma: float = 0.3
    target_acceptance: float = 0.574
    restart_fraction: float = 0.1
    negative_energy_penalty: float = 0.1
    largest_rise: float = 2.0
    smallest_acceptance: float = 0.1

    def start(self, model: Autoencoder, params: Params, features: jax.Array, key: jax.Array) -> Any:
        """Latent chains, which begin at background events, both step lengths and E0."""
        reference = jnp.mean(model.score(params, features))
        return Chains(
            latent_chains.begun(model, params, features, key, self.chains),
            jnp.asarray(self.latent_sigma),
            self.input_sigma * jnp.sqrt(reference),
            reference,
        )

    def negatives(
        self, model: Autoencoder, params: Params, state: Chains, features: jax.Array, key: jax.Array
    ) -> tuple[Chains, jax.Array, Measures]:
        """The chains after one round, the model samples they led to, and what to log."""
        fixed = jax.lax.stop_gradient(params)
        temperature = self.temperature * state.reference
        restart_key, choice_key, latent_key, input_key = jax.random.split(key, 4)

        def energy(points: jax.Array) -> jax.Array:
            return jnp.divide(model.score(fixed, points), temperature)

        restart = jax.random.uniform(restart_key, (self.chains, 1)) < self.restart_fraction
        keys = choice_key, latent_key
        latent, latent_acceptance = latent_chains.advanced(
            model, fixed, state.latent, restart, features, keys, temperature, self.latent_steps, state.latent_sigma
        )
        lowest, highest = model.representation.bounds
        low, high = jnp.asarray(lowest - _MARGIN), jnp.asarray(highest + _MARGIN)
        start = jnp.clip(model.decode(fixed, latent), low, high)
        samples, input_acceptance = sample_in_box(
            energy, start, input_key, self.input_steps, state.input_sigma, low, high
        )
        measures = {
            "energy_manifold": jnp.mean(model.score(fixed, start)),
            "acceptance_latent": latent_acceptance,
            "acceptance_input": input_acceptance,
            "sigma_latent": state.latent_sigma,
            "sigma_input": state.input_sigma,
        }
        chains = Chains(
            latent,
            latent_chains.adapted(state.latent_sigma, latent_acceptance, self.target_acceptance),
            latent_chains.adapted(state.input_sigma, input_acceptance, self.target_acceptance),
            state.reference,
        )
        return chains, samples, measures

    def loss(
        self, model: Autoencoder, params: Params, state: Chains, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[Chains, Measures]]:
        """Energy gap between data and model samples, with the negative energies held down."""
        reference = state.reference
        state, samples, measures = jax.lax.stop_gradient(self.negatives(model, params, state, features, key))
        positive = jnp.mean(model.score(params, features)) / reference
        negative_energies = model.score(params, samples) / reference
        negative = jnp.mean(negative_energies)
        loss = positive - negative + self.negative_energy_penalty * jnp.mean(negative_energies**2)
        measures |= {"energy_data": positive * reference, "energy_model": negative * reference, "reference": reference}
        return loss, (state, measures)

    def healthy(self, measures: dict[str, float]) -> bool:
        """The background is still described and the chains still move."""
        return (
            measures["validation_score"] <= self.largest_rise * measures["reference"]
            and min(measures["acceptance_latent"], measures["acceptance_input"]) >= self.smallest_acceptance
        )
