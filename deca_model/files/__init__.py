"""Files of other people's models, read without running anything from them."""
