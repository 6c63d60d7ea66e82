"""The two conversations, without I/O: what may be said when, and what the answers mean."""
