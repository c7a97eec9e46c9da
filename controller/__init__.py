"""The service that answers observations with actions of the current policy, in real time."""
