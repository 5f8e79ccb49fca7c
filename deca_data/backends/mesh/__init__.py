"""Parts of the mesh parser: the outline of the face, the colour of its skin, the hairline."""
