"""How the programs reach each other: who may listen where, who may call what, how a client proves itself.

address.py    loopback or public
serving.py    a server's side: TLS, and what a public address needs
rights.py     which right each call needs
tokens.py     the file of tokens, of which only digests are kept
authority.py  the interceptor that asks for them
access.py     a client's side: channels with TLS and a token
certs.py      certificates for development
commands.py   the commands `certs` and `token` of trainer and controller
"""
