"""`make demo`: two portraits go the whole way."""
