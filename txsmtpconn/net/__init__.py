"""The Twisted that client and server share: TLS, transcript, deadline, streams, clock."""
