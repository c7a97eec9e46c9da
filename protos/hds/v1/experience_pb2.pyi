from protos.hds.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Session(_message.Message):
    __slots__ = ("id", "task", "plant")
    ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    id: str
    task: str
    plant: _types_pb2.PlantSpec
    def __init__(self, id: _Optional[str] = ..., task: _Optional[str] = ..., plant: _Optional[_Union[_types_pb2.PlantSpec, _Mapping]] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("session", "transitions")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    session: Session
    transitions: _containers.RepeatedCompositeFieldContainer[_types_pb2.Transition]
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., transitions: _Optional[_Iterable[_Union[_types_pb2.Transition, _Mapping]]] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("session", "next_sequence", "refusal", "gap")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    session: str
    next_sequence: int
    refusal: str
    gap: str
    def __init__(self, session: _Optional[str] = ..., next_sequence: _Optional[int] = ..., refusal: _Optional[str] = ..., gap: _Optional[str] = ...) -> None: ...

class GetWatermarkRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class GetWatermarkResponse(_message.Message):
    __slots__ = ("next_sequence",)
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    next_sequence: int
    def __init__(self, next_sequence: _Optional[int] = ...) -> None: ...

class Episode(_message.Message):
    __slots__ = ("session", "episode", "purpose", "steps", "seconds", "cost", "success", "terminated", "truncated", "policy_versions", "fallback_steps", "first_sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_STEPS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: str
    episode: int
    purpose: _types_pb2.Purpose
    steps: int
    seconds: float
    cost: float
    success: bool
    terminated: bool
    truncated: bool
    policy_versions: _containers.RepeatedScalarFieldContainer[str]
    fallback_steps: int
    first_sequence: int
    def __init__(self, session: _Optional[str] = ..., episode: _Optional[int] = ..., purpose: _Optional[_Union[_types_pb2.Purpose, str]] = ..., steps: _Optional[int] = ..., seconds: _Optional[float] = ..., cost: _Optional[float] = ..., success: bool = ..., terminated: bool = ..., truncated: bool = ..., policy_versions: _Optional[_Iterable[str]] = ..., fallback_steps: _Optional[int] = ..., first_sequence: _Optional[int] = ...) -> None: ...

class ListEpisodesRequest(_message.Message):
    __slots__ = ("session", "purpose")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    session: str
    purpose: _types_pb2.Purpose
    def __init__(self, session: _Optional[str] = ..., purpose: _Optional[_Union[_types_pb2.Purpose, str]] = ...) -> None: ...

class ListEpisodesResponse(_message.Message):
    __slots__ = ("episodes", "plant")
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    episodes: _containers.RepeatedCompositeFieldContainer[Episode]
    plant: _types_pb2.PlantSpec
    def __init__(self, episodes: _Optional[_Iterable[_Union[Episode, _Mapping]]] = ..., plant: _Optional[_Union[_types_pb2.PlantSpec, _Mapping]] = ...) -> None: ...

class ReadEpisodeRequest(_message.Message):
    __slots__ = ("session", "episode")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    session: str
    episode: int
    def __init__(self, session: _Optional[str] = ..., episode: _Optional[int] = ...) -> None: ...

class ReadEpisodeResponse(_message.Message):
    __slots__ = ("transitions",)
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    transitions: _containers.RepeatedCompositeFieldContainer[_types_pb2.Transition]
    def __init__(self, transitions: _Optional[_Iterable[_Union[_types_pb2.Transition, _Mapping]]] = ...) -> None: ...
