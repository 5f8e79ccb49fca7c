"""Measuring a model with published benchmarks."""
