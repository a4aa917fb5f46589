"""The configuration as read, the registries that it names things of, and the graph with its fingerprints."""
