"""Real servers, started privately on free loopback ports: one module a kind, all on ``process.Server``."""
