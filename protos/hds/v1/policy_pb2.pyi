from protos.hds.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_SPEC_MISMATCH: _ClassVar[ErrorCode]
    ERROR_CODE_BAD_OBSERVATION: _ClassVar[ErrorCode]
    ERROR_CODE_NOT_READY: _ClassVar[ErrorCode]
    ERROR_CODE_OUT_OF_ORDER: _ClassVar[ErrorCode]
    ERROR_CODE_NO_SUCH_VERSION: _ClassVar[ErrorCode]
    ERROR_CODE_STALE: _ClassVar[ErrorCode]
    ERROR_CODE_BAD_ACTION: _ClassVar[ErrorCode]
    ERROR_CODE_WRONG_TASK: _ClassVar[ErrorCode]
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_SPEC_MISMATCH: ErrorCode
ERROR_CODE_BAD_OBSERVATION: ErrorCode
ERROR_CODE_NOT_READY: ErrorCode
ERROR_CODE_OUT_OF_ORDER: ErrorCode
ERROR_CODE_NO_SUCH_VERSION: ErrorCode
ERROR_CODE_STALE: ErrorCode
ERROR_CODE_BAD_ACTION: ErrorCode
ERROR_CODE_WRONG_TASK: ErrorCode

class Hello(_message.Message):
    __slots__ = ("plant", "client", "policy_version", "task")
    PLANT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    plant: _types_pb2.PlantSpec
    client: str
    policy_version: str
    task: str
    def __init__(self, plant: _Optional[_Union[_types_pb2.PlantSpec, _Mapping]] = ..., client: _Optional[str] = ..., policy_version: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("sequence", "t_ns", "x", "u_last", "deadline_ns", "fallbacks")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    T_NS_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    U_LAST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    t_ns: int
    x: _containers.RepeatedScalarFieldContainer[float]
    u_last: _containers.RepeatedScalarFieldContainer[float]
    deadline_ns: int
    fallbacks: int
    def __init__(self, sequence: _Optional[int] = ..., t_ns: _Optional[int] = ..., x: _Optional[_Iterable[float]] = ..., u_last: _Optional[_Iterable[float]] = ..., deadline_ns: _Optional[int] = ..., fallbacks: _Optional[int] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("sequence", "u", "policy_version", "deadline_ns", "served_ns")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    U_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    SERVED_NS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    u: _containers.RepeatedScalarFieldContainer[float]
    policy_version: str
    deadline_ns: int
    served_ns: int
    def __init__(self, sequence: _Optional[int] = ..., u: _Optional[_Iterable[float]] = ..., policy_version: _Optional[str] = ..., deadline_ns: _Optional[int] = ..., served_ns: _Optional[int] = ...) -> None: ...

class PolicyDescription(_message.Message):
    __slots__ = ("version", "task", "state_names", "action_names", "control_dt_s", "episode_steps")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STATE_NAMES_FIELD_NUMBER: _ClassVar[int]
    ACTION_NAMES_FIELD_NUMBER: _ClassVar[int]
    CONTROL_DT_S_FIELD_NUMBER: _ClassVar[int]
    EPISODE_STEPS_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    state_names: _containers.RepeatedScalarFieldContainer[str]
    action_names: _containers.RepeatedScalarFieldContainer[str]
    control_dt_s: float
    episode_steps: int
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ..., state_names: _Optional[_Iterable[str]] = ..., action_names: _Optional[_Iterable[str]] = ..., control_dt_s: _Optional[float] = ..., episode_steps: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyDescription
    def __init__(self, policy: _Optional[_Union[PolicyDescription, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "sequence")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    message: str
    sequence: int
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., message: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ControlRequest(_message.Message):
    __slots__ = ("hello", "observation")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    observation: Observation
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., observation: _Optional[_Union[Observation, _Mapping]] = ...) -> None: ...

class ControlResponse(_message.Message):
    __slots__ = ("welcome", "action", "error")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    action: Action
    error: Error
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class ActRequest(_message.Message):
    __slots__ = ("observations",)
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    def __init__(self, observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ...) -> None: ...

class ActResponse(_message.Message):
    __slots__ = ("actions",)
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    def __init__(self, actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("ready", "policy", "label", "refused_version", "refusal", "loaded_versions", "previous_version", "shadow", "streams", "troubles")
    READY_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    LOADED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    TROUBLES_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    policy: PolicyDescription
    label: str
    refused_version: str
    refusal: str
    loaded_versions: _containers.RepeatedScalarFieldContainer[str]
    previous_version: str
    shadow: Shadow
    streams: int
    troubles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ready: bool = ..., policy: _Optional[_Union[PolicyDescription, _Mapping]] = ..., label: _Optional[str] = ..., refused_version: _Optional[str] = ..., refusal: _Optional[str] = ..., loaded_versions: _Optional[_Iterable[str]] = ..., previous_version: _Optional[str] = ..., shadow: _Optional[_Union[Shadow, _Mapping]] = ..., streams: _Optional[int] = ..., troubles: _Optional[_Iterable[str]] = ...) -> None: ...

class Shadow(_message.Message):
    __slots__ = ("version", "compared", "skipped", "mean_difference", "largest_difference", "unwritten")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    MEAN_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LARGEST_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    UNWRITTEN_FIELD_NUMBER: _ClassVar[int]
    version: str
    compared: int
    skipped: int
    mean_difference: float
    largest_difference: float
    unwritten: int
    def __init__(self, version: _Optional[str] = ..., compared: _Optional[int] = ..., skipped: _Optional[int] = ..., mean_difference: _Optional[float] = ..., largest_difference: _Optional[float] = ..., unwritten: _Optional[int] = ...) -> None: ...

class RollBackRequest(_message.Message):
    __slots__ = ("expected_version",)
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    expected_version: str
    def __init__(self, expected_version: _Optional[str] = ...) -> None: ...

class RollBackResponse(_message.Message):
    __slots__ = ("left_version", "version")
    LEFT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    left_version: str
    version: str
    def __init__(self, left_version: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class SetShadowRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class SetShadowResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
