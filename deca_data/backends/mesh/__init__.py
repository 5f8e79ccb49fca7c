"""What the mask parser needs: the outline of the face, colours of skin, the hairline."""
