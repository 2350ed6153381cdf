"""Real cases: checked reading, nnU-Net's split, and the way to the generator's grid and back."""
