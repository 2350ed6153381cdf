"""Networks, and the generator folder that holds them."""
