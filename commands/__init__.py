"""The commands of `deca-data` and `deca`: each parses, calls and prints."""
