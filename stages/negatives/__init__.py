"""Typed edits and reciprocal candidates: how they are made, judged, grouped and chosen. Asks no engine."""
