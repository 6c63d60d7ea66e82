"""Next hops: which host takes a domain's mail, and how the connection to it is secured."""
