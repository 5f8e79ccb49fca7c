"""Output for the user: progress and tables."""
