"""From a posed head to an image: camera, visible triangles, albedo and light."""
