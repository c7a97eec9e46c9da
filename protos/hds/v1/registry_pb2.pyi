from protos.hds.v1 import experience_pb2 as _experience_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyRecord(_message.Message):
    __slots__ = ("version", "task", "parent", "real_seconds", "metrics", "labels", "created_ns", "plant")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATED_NS_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    parent: str
    real_seconds: float
    metrics: _containers.ScalarMap[str, float]
    labels: _containers.RepeatedScalarFieldContainer[str]
    created_ns: int
    plant: _experience_pb2.PolicyScore
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ..., parent: _Optional[str] = ..., real_seconds: _Optional[float] = ..., metrics: _Optional[_Mapping[str, float]] = ..., labels: _Optional[_Iterable[str]] = ..., created_ns: _Optional[int] = ..., plant: _Optional[_Union[_experience_pb2.PolicyScore, _Mapping]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies",)
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyRecord]
    def __init__(self, policies: _Optional[_Iterable[_Union[PolicyRecord, _Mapping]]] = ...) -> None: ...

class SetLabelRequest(_message.Message):
    __slots__ = ("label", "version", "expected_version", "force")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    label: str
    version: str
    expected_version: str
    force: bool
    def __init__(self, label: _Optional[str] = ..., version: _Optional[str] = ..., expected_version: _Optional[str] = ..., force: bool = ...) -> None: ...

class SetLabelResponse(_message.Message):
    __slots__ = ("previous_version",)
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    previous_version: str
    def __init__(self, previous_version: _Optional[str] = ...) -> None: ...

class WatchLabelRequest(_message.Message):
    __slots__ = ("label", "task")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    label: str
    task: str
    def __init__(self, label: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class WatchLabelResponse(_message.Message):
    __slots__ = ("version", "task")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class DownloadPolicyRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class DownloadPolicyResponse(_message.Message):
    __slots__ = ("path", "data")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    path: str
    data: bytes
    def __init__(self, path: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...
