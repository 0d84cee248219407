"""Every number of the detector response, with its source.

Sources: [JME] CMS jets at 8 TeV, arXiv:1607.03663; [MET] CMS missing transverse energy at 8 TeV,
arXiv:1411.0511; [ECAL] CMS ECAL test beam, JINST 2 (2007) P04004; [EGM] CMS electrons at 13 TeV,
arXiv:2012.06888; [MUO] CMS muons at 13 TeV, arXiv:1804.04528; [DEL] the CMS card of Delphes 3, arXiv:1307.6346;
[ADC] the ADC2021 challenge, arXiv:2107.02157; [CMP] the comparison with full simulation in models/README.md.
"choice" marks what no document gives.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """Detector and acceptance parameters; momenta and energies in GeV, angles in radians."""

    # Acceptance [ADC]
    filter_lepton_pt: float = 23.0
    lepton_min_pt: float = 3.0
    electron_max_eta: float = 3.0
    muon_max_eta: float = 2.1
    jet_radius: float = 0.5
    jet_min_pt: float = 15.0
    jet_max_eta: float = 4.0
    isolation_max: float = 0.45
    isolation_cone: float = 0.4  # choice: the muon cone of [MUO]
    isolation_particle_pt: float = 0.5  # [DEL] PTMin

    # Visible particles: the forward calorimeter ends at 5 [DEL]; muons seen in the energy sum within 2.4 [MUO]
    visible_max_eta: float = 5.0
    muon_visible_max_eta: float = 2.4

    # Electrons: plateau efficiencies within |eta| 1.5 and 2.5 [DEL]; beyond, no tracker (choice)
    electron_efficiency: tuple[float, float, float] = (0.95, 0.85, 0.70)
    electron_efficiency_eta: tuple[float, float] = (1.5, 2.5)
    electron_turn_on_pt: float = 5.0  # half of the plateau; falls off below 10 GeV as in [EGM]
    electron_turn_on_width: float = 3.0
    electron_photon_cone: float = 0.1  # radiated photons in the same cluster: choice, of the supercluster's size
    electron_stochastic: float = 0.028  # GeV^1/2 [ECAL]
    electron_noise: float = 0.30  # per electron, with pile-up: choice, above the 0.12 of [ECAL]
    electron_constant: tuple[float, float] = (0.012, 0.025)  # barrel, endcap: material in front, [EGM]

    # Muons: plateau and resolution sqrt(a^2 + (b pT)^2) within |eta| 0.5, 1.5 and beyond [DEL]
    muon_efficiency: float = 0.95
    muon_turn_on_pt: float = 3.0  # [MUO]: muons reach the stations from 3 to 5 GeV on
    muon_turn_on_width: float = 1.0
    muon_resolution_eta: tuple[float, float] = (0.5, 1.5)
    muon_resolution_constant: tuple[float, float, float] = (0.010, 0.015, 0.025)
    muon_resolution_slope: tuple[float, float, float] = (1.0e-4, 1.5e-4, 3.5e-4)

    # Jets: sigma/pT = sqrt((N/pT)^2 + S^2/pT + C^2), 18 % at 30 GeV, 9 % at 100, 5 % at 1000 as in [JME]
    jet_noise: float = 3.0
    jet_stochastic: float = 0.8
    jet_constant: float = 0.04
    jet_angle: float = 0.03  # choice: a calorimeter tower of 0.087 over sqrt(12)
    jet_electron_distance: float = 0.4  # a jet nearer to an accepted electron is that electron (choice)

    # Jets taken for leptons, per jet: of the size of tight-selection rates in [EGM] and [MUO] (choice)
    electron_misidentification: float = 2.0e-4
    muon_misidentification: float = 3.0e-5

    # Missing momentum: component spread sqrt(s^2 sum(soft) + n_pu sigma_pu^2) [MET]
    met_stochastic: float = 0.6  # GeV^1/2
    met_per_pile_up: float = 3.3  # GeV, in quadrature per interaction

    # Pile-up: mean interactions [ADC]; what is left of it in a cone after subtraction of the mean density, in
    # GeV per sqrt(interaction) per sqrt(unit area); jets over threshold from it, per interaction [CMP]
    pile_up: float = 20.0
    pile_up_density_spread: float = 0.6
    pile_up_jets: float = 0.02
    pile_up_jet_slope: float = 4.0

    # What showers alone leave out [CMP]: the underlying event in a cone (gamma: mean per unit area, shape), its
    # extra jets, and the energy that hadronisation moves out of a jet
    underlying_density: float = 2.0
    underlying_shape: float = 1.0
    underlying_jets: float = 0.25
    hadronisation_loss: float = 0.2
