"""The second phase of a normalized autoencoder whose chains run over legal events.

As `Normalization`, with another input space: p(x) ~ exp(-E(x) / T) is a density on legal events with respect to the
measure of `event_chains`, so that the energy also learns how many objects of each class an event has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from l1models import layout
from l1models.train import latent_chains
from l1models.train.autoencoder import Autoencoder
from l1models.train.event_chains import EventSpace, EventState, sample_events, to_codes
from l1models.train.model import Params
from l1models.train.objectives import Measures
from l1models.train.representation import PT_SCALE


class EventChains(NamedTuple):
    """Persistent latent points, persistent events, the latent step length, E0 and the number of steps done."""

    latent: jax.Array
    events: EventState
    latent_sigma: jax.Array
    reference: jax.Array
    step: jax.Array


@dataclass(frozen=True)
class EventNormalization:
    """Contrastive divergence against chains over legal events that start on the decoder manifold.

    Latent chains sample q(z) ~ exp(-E(g(z)) / T) on the unit sphere and give, through the decoder and the nearest legal
    event, the starts of ``restart_fraction`` of the event chains at each step; the others persist. T falls along
    a geometric schedule from ``hot_temperature`` x E0 to ``temperature`` x E0 during ``anneal_steps`` steps, E0 being
    the mean score of the background when the phase begins. Loss: (E+ - E-) / E0 + ``energy_penalty`` x
    (E+^2 + E-^2) / E0^2. ``lepton_volume`` and ``jet_volume`` set the reference measure: the smaller, the rarer an
    additional object counts. Divergence: validation score above ``largest_rise`` x E0 or an acceptance under
    ``smallest_acceptance``.
    """

    chains: int = 512
    temperature: float = 0.1
    hot_temperature: float = 0.2
    anneal_steps: int = 2000
    latent_chains: int = 32
    latent_steps: int = 4
    latent_sigma: float = 0.03
    input_steps: int = 10
    restart_fraction: float = 0.03
    target_acceptance: float = 0.574
    energy_penalty: float = 0.005
    lepton_volume: float = 10.0
    jet_volume: float = 10.0
    largest_rise: float = 5.0
    smallest_acceptance: float = 0.02

    def space(self) -> EventSpace:
        """The legal events and their measure."""
        return EventSpace(self.lepton_volume, self.jet_volume)

    def start(self, model: Autoencoder, params: Params, features: jax.Array, key: jax.Array) -> EventChains:
        """Latent chains at encoded background, event chains at its reconstructions."""
        latent_key, event_key = jax.random.split(key)
        return EventChains(
            latent_chains.begun(model, params, features, latent_key, self.latent_chains),
            self.decoded(model, params, latent_chains.begun(model, params, features, event_key, self.chains)),
            jnp.asarray(self.latent_sigma),
            jnp.mean(model.score(params, features)),
            jnp.zeros((), jnp.int32),
        )

    def decoded(self, model: Autoencoder, params: Params, latent: jax.Array) -> EventState:
        """The legal events nearest to what latent points decode to."""
        pt, eta, phi = jnp.split(model.representation.codes(model.decode(params, latent)), 3, axis=1)
        hardness = jnp.log1p(jnp.maximum(pt, 0) * (layout.PT_LSB / PT_SCALE))
        return self.space().nearest(hardness, eta * layout.ETA_LSB, phi * layout.PHI_LSB)

    def negatives(
        self, model: Autoencoder, params: Params, state: EventChains, features: jax.Array, key: jax.Array
    ) -> tuple[EventChains, Measures]:
        """The chains after one round, and what to log."""
        fixed = jax.lax.stop_gradient(params)
        progress = jnp.clip(state.step / max(self.anneal_steps, 1), 0, 1)
        temperature = state.reference * self.hot_temperature ** (1 - progress) * self.temperature**progress
        choice_key, latent_key, which_key, pick_key, input_key = jax.random.split(key, 5)

        restart = jnp.arange(self.latent_chains)[:, None] < self.latent_chains // 8
        keys = choice_key, latent_key
        latent, latent_acceptance = latent_chains.advanced(
            model, fixed, state.latent, restart, features, keys, temperature, self.latent_steps, state.latent_sigma
        )
        decoded = self.decoded(model, fixed, latent)
        replaced = jax.random.uniform(which_key, (self.chains, 1)) < self.restart_fraction
        picked = jax.random.randint(pick_key, (self.chains,), 0, self.latent_chains)
        events = EventState(*(jnp.where(replaced, a[picked], b) for a, b in zip(decoded, state.events, strict=True)))
        events, input_acceptance = sample_events(
            self.space(),
            lambda x: model.score(fixed, model.representation.features(to_codes(x))) / temperature,
            events,
            input_key,
            self.input_steps,
        )
        measures = {
            "energy_manifold": jnp.mean(model.score(fixed, model.representation.features(to_codes(decoded)))),
            "acceptance_latent": latent_acceptance,
            "acceptance_input": input_acceptance,
            "sigma_latent": state.latent_sigma,
            "temperature": temperature,
            "leptons_model": jnp.mean(jnp.sum(events.hardness[:, 1:9] > 0, axis=1)),
            "jets_model": jnp.mean(jnp.sum(events.hardness[:, 9:] > 0, axis=1)),
        }
        sigma = latent_chains.adapted(state.latent_sigma, latent_acceptance, self.target_acceptance)
        # Latent order is mixed so that the restarted ones are not always the same.
        return EventChains(
            jnp.roll(latent, self.latent_chains // 8, axis=0), events, sigma, state.reference, state.step + 1
        ), measures

    def loss(
        self, model: Autoencoder, params: Params, state: EventChains, features: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[EventChains, Measures]]:
        """Energy gap between data and model samples, with both held down."""
        reference = state.reference
        state, measures = jax.lax.stop_gradient(self.negatives(model, params, state, features, key))
        positives = model.score(params, features) / reference
        negatives = model.score(params, model.representation.features(to_codes(state.events))) / reference
        gap = jnp.mean(positives) - jnp.mean(negatives)
        loss = gap + self.energy_penalty * (jnp.mean(positives**2) + jnp.mean(negatives**2))
        measures |= {
            "energy_data": jnp.mean(positives) * reference,
            "energy_model": jnp.mean(negatives) * reference,
            "reference": reference,
        }
        return loss, (state, measures)

    def healthy(self, measures: dict[str, float]) -> bool:
        """The background is still described and the chains still move."""
        return (
            measures["validation_score"] <= self.largest_rise * measures["reference"]
            and min(measures["acceptance_latent"], measures["acceptance_input"]) >= self.smallest_acceptance
        )
