"""What runs on a GPU machine; see README.md."""
