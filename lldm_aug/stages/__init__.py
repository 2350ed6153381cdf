"""The stages of all trainings: one table of them, and the run folder that they share."""
