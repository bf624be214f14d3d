"""What a subject wears: clothes, headband, collars, hoods, glasses."""
