"""The losses, a file per family; pure functions of tensors, means over what they apply to."""
