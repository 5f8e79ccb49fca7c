"""How photos and masks are read, and how a square is cut around a face: one way for both halves."""
