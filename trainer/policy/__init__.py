"""The policy: features of a state, and a network over them. A controller needs no more than this."""
