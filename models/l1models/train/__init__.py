"""Training of anomaly-detection models on background events alone."""
