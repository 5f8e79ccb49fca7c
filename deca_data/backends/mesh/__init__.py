"""Parts of the mesh parser: the outline of the face, the appearance of its skin, the boundary."""
