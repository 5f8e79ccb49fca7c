"""MediaPipe's networks: the models in its wheel, and how faces and meshes are found with them."""
