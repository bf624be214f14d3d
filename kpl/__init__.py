"""3D faces from three photographs: what the notebooks share."""
