"""Who stands before the cameras: the population, one person's head and hair, and what the face does in one
expression."""
