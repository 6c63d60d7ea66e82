"""The servers under measurement: each takes a port, accepts every message and forgets it."""
