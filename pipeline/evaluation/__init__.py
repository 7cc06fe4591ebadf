"""What a trained run is worth, and what it must beat: every metric from its definition."""
