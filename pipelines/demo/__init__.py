"""`make demo`: the whole pipeline on photos of two portraits."""
