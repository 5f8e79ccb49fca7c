"""Fitting a head to photos without a network: analysis by synthesis, from landmarks to wrinkles."""
