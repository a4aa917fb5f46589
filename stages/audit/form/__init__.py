"""What a text looks like apart from its words: what is the same but for it, and probes that go by it."""
