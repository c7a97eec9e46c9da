"""The service that answers observations with the actions of the current policy, in real time."""
