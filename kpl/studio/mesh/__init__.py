"""Triangle meshes: small geometry, rays, nearest points, and what is put on a head as a mesh of its own."""
