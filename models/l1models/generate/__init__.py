"""Simulated collisions: Pythia 8 events, a parametrised detector response, mixed recordings."""
