"""Training and refitting as jobs: each runs in a spawned process, never in the service's threads."""
