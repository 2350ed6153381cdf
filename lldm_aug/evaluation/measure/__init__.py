"""What is measured of one image, and of one set of images against another."""
