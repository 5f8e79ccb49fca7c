"""The stages of training; a file per stage."""
