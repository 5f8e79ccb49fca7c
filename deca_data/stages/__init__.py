"""The processing steps for one photo, one file per stage."""
