"""How a run is carried out: command, configuration, corpus, ledger, plan, runner."""
