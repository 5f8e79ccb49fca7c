"""The settings of a run, and the presets that come with the project."""
