"""Many trainings from one plan: seeds, representations, contaminated and inverse training sets."""
