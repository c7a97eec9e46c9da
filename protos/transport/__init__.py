"""How the programs reach each other: who may listen where, who may call what, how a client proves itself.

address.py    loopback or public
serving.py    a server's side: TLS, and what a public address needs
rights.py     which right each call needs
tokens.py     the file of tokens, of which only digests are kept
authority.py  the interceptor that asks for them, of each call and for as long as it lasts
budget.py     how much of a server one caller may take
caller.py     who makes the call that is being answered
followed_file.py  what a file says, read anew when it changes
trust.py      whether a client's certificate is still good
expiry.py     when certificates end, told in time
access.py     a client's side: channels with TLS and a token, whose files are followed
certs.py      certificates for development
commands.py   the commands `certs` and `token` of trainer and controller
"""
