"""One folder a task, one YAML a version, and their loader."""
