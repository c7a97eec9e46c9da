from protos.hds.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Selection(_message.Message):
    __slots__ = ("task", "purpose", "sessions", "tags", "policies", "since_unix_ns", "until_unix_ns", "watermarks", "plants")
    class WatermarksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    WATERMARKS_FIELD_NUMBER: _ClassVar[int]
    PLANTS_FIELD_NUMBER: _ClassVar[int]
    task: str
    purpose: _types_pb2.Purpose
    sessions: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    policies: _containers.RepeatedScalarFieldContainer[str]
    since_unix_ns: int
    until_unix_ns: int
    watermarks: _containers.ScalarMap[str, int]
    plants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task: _Optional[str] = ..., purpose: _Optional[_Union[_types_pb2.Purpose, str]] = ..., sessions: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., policies: _Optional[_Iterable[str]] = ..., since_unix_ns: _Optional[int] = ..., until_unix_ns: _Optional[int] = ..., watermarks: _Optional[_Mapping[str, int]] = ..., plants: _Optional[_Iterable[str]] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("id", "task", "plant", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    task: str
    plant: _types_pb2.PlantSpec
    source: str
    def __init__(self, id: _Optional[str] = ..., task: _Optional[str] = ..., plant: _Optional[_Union[_types_pb2.PlantSpec, _Mapping]] = ..., source: _Optional[str] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("session", "transitions", "writer")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    session: Session
    transitions: _containers.RepeatedCompositeFieldContainer[_types_pb2.Transition]
    writer: str
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., transitions: _Optional[_Iterable[_Union[_types_pb2.Transition, _Mapping]]] = ..., writer: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("session", "episode", "purpose", "steps", "seconds", "cost", "success", "terminated", "truncated", "policy_versions", "fallback_steps", "first_sequence", "judged", "end")
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
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
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
    judged: bool
    end: _types_pb2.EndCause
    def __init__(self, session: _Optional[str] = ..., episode: _Optional[int] = ..., purpose: _Optional[_Union[_types_pb2.Purpose, str]] = ..., steps: _Optional[int] = ..., seconds: _Optional[float] = ..., cost: _Optional[float] = ..., success: bool = ..., terminated: bool = ..., truncated: bool = ..., policy_versions: _Optional[_Iterable[str]] = ..., fallback_steps: _Optional[int] = ..., first_sequence: _Optional[int] = ..., judged: bool = ..., end: _Optional[_Union[_types_pb2.EndCause, str]] = ...) -> None: ...

class PolicyScore(_message.Message):
    __slots__ = ("policy_version", "episodes", "not_judged", "success", "success_low", "success_high", "cost", "cost_low", "cost_high")
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    NOT_JUDGED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_LOW_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_HIGH_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    COST_LOW_FIELD_NUMBER: _ClassVar[int]
    COST_HIGH_FIELD_NUMBER: _ClassVar[int]
    policy_version: str
    episodes: int
    not_judged: int
    success: float
    success_low: float
    success_high: float
    cost: float
    cost_low: float
    cost_high: float
    def __init__(self, policy_version: _Optional[str] = ..., episodes: _Optional[int] = ..., not_judged: _Optional[int] = ..., success: _Optional[float] = ..., success_low: _Optional[float] = ..., success_high: _Optional[float] = ..., cost: _Optional[float] = ..., cost_low: _Optional[float] = ..., cost_high: _Optional[float] = ...) -> None: ...

class ScorePoliciesRequest(_message.Message):
    __slots__ = ("selection", "page_size", "page_token")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    page_size: int
    page_token: str
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ScorePoliciesResponse(_message.Message):
    __slots__ = ("scores", "next_page_token")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[PolicyScore]
    next_page_token: str
    def __init__(self, scores: _Optional[_Iterable[_Union[PolicyScore, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListEpisodesRequest(_message.Message):
    __slots__ = ("session", "purpose", "selection", "page_size", "page_token")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    purpose: _types_pb2.Purpose
    selection: Selection
    page_size: int
    page_token: str
    def __init__(self, session: _Optional[str] = ..., purpose: _Optional[_Union[_types_pb2.Purpose, str]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEpisodesResponse(_message.Message):
    __slots__ = ("episodes", "plant", "next_page_token")
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    episodes: _containers.RepeatedCompositeFieldContainer[Episode]
    plant: _types_pb2.PlantSpec
    next_page_token: str
    def __init__(self, episodes: _Optional[_Iterable[_Union[Episode, _Mapping]]] = ..., plant: _Optional[_Union[_types_pb2.PlantSpec, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

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

class SessionSummary(_message.Message):
    __slots__ = ("session", "begun_unix_ns", "tags", "episodes", "steps", "collect_s", "evaluate_s", "next_sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    BEGUN_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    COLLECT_S_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_S_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: Session
    begun_unix_ns: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    episodes: int
    steps: int
    collect_s: float
    evaluate_s: float
    next_sequence: int
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., begun_unix_ns: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., episodes: _Optional[int] = ..., steps: _Optional[int] = ..., collect_s: _Optional[float] = ..., evaluate_s: _Optional[float] = ..., next_sequence: _Optional[int] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("selection", "page_size", "page_token")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    page_size: int
    page_token: str
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionSummary]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TagSessionRequest(_message.Message):
    __slots__ = ("session", "tag")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    session: str
    tag: str
    def __init__(self, session: _Optional[str] = ..., tag: _Optional[str] = ...) -> None: ...

class TagSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ForgetSessionsRequest(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sessions: _Optional[_Iterable[str]] = ...) -> None: ...

class ForgetSessionsResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...
