"""The real servers and clients: how each is started, asked what arrived, and stopped."""
