"""The programs under measurement: each does one job and prints one JSON line of what it cost."""
