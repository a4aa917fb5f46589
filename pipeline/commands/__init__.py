"""The bodies of single commands: what `fgdata doctor`, `audit`, `train` and the like do. Print nothing."""
