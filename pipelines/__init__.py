"""How the stages of `deca_data` are done to millions of images."""
