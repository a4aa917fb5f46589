"""What answers requests: generators and detectors behind two protocols, one file an engine."""
