"""The service that optimises policies, keeps every real transition, and publishes versions."""
