"""How the demo's checkpoints came to be. Nothing else imports it."""
