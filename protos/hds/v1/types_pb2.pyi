from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Purpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PURPOSE_UNSPECIFIED: _ClassVar[Purpose]
    PURPOSE_COLLECT: _ClassVar[Purpose]
    PURPOSE_EVALUATE: _ClassVar[Purpose]

class ActionSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_SOURCE_UNSPECIFIED: _ClassVar[ActionSource]
    ACTION_SOURCE_POLICY: _ClassVar[ActionSource]
    ACTION_SOURCE_FALLBACK: _ClassVar[ActionSource]
    ACTION_SOURCE_HUMAN: _ClassVar[ActionSource]

class EndCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_CAUSE_UNSPECIFIED: _ClassVar[EndCause]
    END_CAUSE_CLOCK: _ClassVar[EndCause]
    END_CAUSE_SAFE_SET: _ClassVar[EndCause]
    END_CAUSE_STATE_LIMIT: _ClassVar[EndCause]
    END_CAUSE_PLANT_LIMIT: _ClassVar[EndCause]
    END_CAUSE_PLANT_WATCHDOG: _ClassVar[EndCause]
    END_CAUSE_DIVERGED: _ClassVar[EndCause]
    END_CAUSE_BAD_READINGS: _ClassVar[EndCause]
    END_CAUSE_MISSES: _ClassVar[EndCause]
    END_CAUSE_PLANT_LOST: _ClassVar[EndCause]
    END_CAUSE_OPERATOR: _ClassVar[EndCause]
    END_CAUSE_RECORDING: _ClassVar[EndCause]
PURPOSE_UNSPECIFIED: Purpose
PURPOSE_COLLECT: Purpose
PURPOSE_EVALUATE: Purpose
ACTION_SOURCE_UNSPECIFIED: ActionSource
ACTION_SOURCE_POLICY: ActionSource
ACTION_SOURCE_FALLBACK: ActionSource
ACTION_SOURCE_HUMAN: ActionSource
END_CAUSE_UNSPECIFIED: EndCause
END_CAUSE_CLOCK: EndCause
END_CAUSE_SAFE_SET: EndCause
END_CAUSE_STATE_LIMIT: EndCause
END_CAUSE_PLANT_LIMIT: EndCause
END_CAUSE_PLANT_WATCHDOG: EndCause
END_CAUSE_DIVERGED: EndCause
END_CAUSE_BAD_READINGS: EndCause
END_CAUSE_MISSES: EndCause
END_CAUSE_PLANT_LOST: EndCause
END_CAUSE_OPERATOR: EndCause
END_CAUSE_RECORDING: EndCause

class PlantSpec(_message.Message):
    __slots__ = ("name", "state_names", "action_names", "control_dt_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_NAMES_FIELD_NUMBER: _ClassVar[int]
    ACTION_NAMES_FIELD_NUMBER: _ClassVar[int]
    CONTROL_DT_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    state_names: _containers.RepeatedScalarFieldContainer[str]
    action_names: _containers.RepeatedScalarFieldContainer[str]
    control_dt_s: float
    def __init__(self, name: _Optional[str] = ..., state_names: _Optional[_Iterable[str]] = ..., action_names: _Optional[_Iterable[str]] = ..., control_dt_s: _Optional[float] = ...) -> None: ...

class Transition(_message.Message):
    __slots__ = ("sequence", "episode", "purpose", "x", "u_requested", "u_applied", "x_next", "t_ns", "terminated", "truncated", "policy_version", "action_source", "reason", "end")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    U_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    U_APPLIED_FIELD_NUMBER: _ClassVar[int]
    X_NEXT_FIELD_NUMBER: _ClassVar[int]
    T_NS_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTION_SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    episode: int
    purpose: Purpose
    x: _containers.RepeatedScalarFieldContainer[float]
    u_requested: _containers.RepeatedScalarFieldContainer[float]
    u_applied: _containers.RepeatedScalarFieldContainer[float]
    x_next: _containers.RepeatedScalarFieldContainer[float]
    t_ns: int
    terminated: bool
    truncated: bool
    policy_version: str
    action_source: ActionSource
    reason: str
    end: EndCause
    def __init__(self, sequence: _Optional[int] = ..., episode: _Optional[int] = ..., purpose: _Optional[_Union[Purpose, str]] = ..., x: _Optional[_Iterable[float]] = ..., u_requested: _Optional[_Iterable[float]] = ..., u_applied: _Optional[_Iterable[float]] = ..., x_next: _Optional[_Iterable[float]] = ..., t_ns: _Optional[int] = ..., terminated: bool = ..., truncated: bool = ..., policy_version: _Optional[str] = ..., action_source: _Optional[_Union[ActionSource, str]] = ..., reason: _Optional[str] = ..., end: _Optional[_Union[EndCause, str]] = ...) -> None: ...
