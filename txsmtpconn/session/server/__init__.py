"""The server's side of a conversation: `session.ServerSession` and what it is made of."""
