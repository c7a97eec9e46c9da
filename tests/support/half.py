"""A policy that asks for half of the full action."""

from protos.hds import v1
from real_env.answers import Miss


class Half:
    """Answers 0.5."""

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        del until_ns
        return v1.Action(sequence=observation.sequence, u=[0.5], policy_version="v1")
