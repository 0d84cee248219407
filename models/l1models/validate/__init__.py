"""Recordings against known physics: distributions, expectations, shared events."""
