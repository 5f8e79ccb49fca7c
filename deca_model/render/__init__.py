"""From a posed head to a picture: camera, visible triangles, albedo and light."""
