"""From a manifest or a pack to batches of faces."""
