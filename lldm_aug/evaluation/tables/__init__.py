"""From measurements to tables of figures with their intervals."""
