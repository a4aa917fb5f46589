"""How a run is carried out: workers and what they read, pools, the loop, the gate, what must be true before."""
