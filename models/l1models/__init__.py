"""What must exist before the stream: simulated collisions, trained models, bundles and reports."""
