"""Training of the demo's judge."""
