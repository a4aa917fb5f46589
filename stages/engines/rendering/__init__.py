"""Renderers: processes beside the one that holds an engine, which read images and make finished inputs of them."""
