"""The training loop and what it needs: state, checkpoints, records, held-out figures."""
