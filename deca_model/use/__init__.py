"""A trained model in use: reconstruct, transfer, animate."""
