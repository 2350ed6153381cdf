"""What is known of structures: which are lesions, how large and connected they are, and how they are measured."""
