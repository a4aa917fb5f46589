"""`fgdata rehearse`: a configuration is tried with rehearsed engines and injected faults before it costs anything."""
