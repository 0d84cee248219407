"""Bundles: a trained model as an ONNX graph with its manifest, parity set and card."""
