"""How well one mask agrees with another: overlap, surfaces, centre lines and lesions."""
