"""MediaPipe's networks: the models in its wheel, and the search for faces and meshes with them."""
