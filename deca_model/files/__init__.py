"""Reading the model files of other publishers without executing anything from them."""
