"""What a training step needs, and what keeps hours of them safe."""
