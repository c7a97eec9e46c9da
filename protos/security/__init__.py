"""TLS, tokens and rights: secure servers and channels.

server_security.py      TLS of a server, and what a public address requires
client_security.py      channels with TLS and a token
auth_interceptor.py     authenticates each call, and ends it when its token or certificate is revoked
rights.py               the right that each call needs
tokens.py               the token file, which keeps digests only
trust.py                whether a client's certificate is still valid
budget.py               rate limits of callers
caller.py               who makes the current call
followed_file.py        a file that is read again when it changes
expiry.py               warnings before certificates expire
certificate_refusal.py  why a TLS handshake failed, for the client
wrap_handler.py         an RPC handler inside a context manager
address.py              host and port; loopback or public
certs.py                certificates for development
commands.py             the commands `certs` and `token` of trainer and controller
"""
