"""Performance of bundles on labelled events: AUC, signal efficiencies, plots."""
