"""The programs under measurement: each takes one job, does it, and prints one JSON line of what it cost."""
