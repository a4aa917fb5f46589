"""What the stages that ask a generator cost beside a bare engine: `python -m bench.throughput`."""
