"""What the skin looks like: colour, shine and relief, painted as an atlas over the face."""
