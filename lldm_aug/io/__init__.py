"""Files: atomic writing, checked NIfTI reading, hashes, JSON lines."""
