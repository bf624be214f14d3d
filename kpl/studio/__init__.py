"""The studio: synthetic three-view captures in the competition's layout. It writes `input/`; nothing else
knows it."""
