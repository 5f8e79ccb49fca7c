"""The losses, one file per family: pure functions of tensors that return a mean."""
