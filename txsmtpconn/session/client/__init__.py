"""The client's side of a conversation: `session.ClientSession` and what it is made of."""
