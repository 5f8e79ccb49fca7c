"""Figures that can be compared with published ones."""
