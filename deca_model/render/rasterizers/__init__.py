"""Which triangle is seen at which pixel: one file per implementation."""
