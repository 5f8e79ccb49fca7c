"""The model half: from a manifest to a trained DECA model."""
