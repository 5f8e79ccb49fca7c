"""What is done to one image: a file per stage."""
