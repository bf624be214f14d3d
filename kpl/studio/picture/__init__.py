"""From surfaces and light to three photographs."""
