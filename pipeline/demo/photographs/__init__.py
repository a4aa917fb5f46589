"""Photographs that Python packages carry, with boxes and answers of one careful reader: a demo without any model, and a test of prompts."""
