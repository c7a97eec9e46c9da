from protos.hds.v1 import experience_pb2 as _experience_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyRecord(_message.Message):
    __slots__ = ("version", "task", "parent", "real_seconds", "metrics", "labels", "created_ns", "plant", "pruned")
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
    PRUNED_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    parent: str
    real_seconds: float
    metrics: _containers.ScalarMap[str, float]
    labels: _containers.RepeatedScalarFieldContainer[str]
    created_ns: int
    plant: _experience_pb2.PolicyScore
    pruned: bool
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ..., parent: _Optional[str] = ..., real_seconds: _Optional[float] = ..., metrics: _Optional[_Mapping[str, float]] = ..., labels: _Optional[_Iterable[str]] = ..., created_ns: _Optional[int] = ..., plant: _Optional[_Union[_experience_pb2.PolicyScore, _Mapping]] = ..., pruned: bool = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_page_token")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[PolicyRecord]
    next_page_token: str
    def __init__(self, policies: _Optional[_Iterable[_Union[PolicyRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetConfigurationRequest(_message.Message):
    __slots__ = ("name", "task")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class GetConfigurationResponse(_message.Message):
    __slots__ = ("version", "task", "seed", "algorithm", "dynamics_model", "learned_fraction", "code", "config", "parent")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    DYNAMICS_MODEL_FIELD_NUMBER: _ClassVar[int]
    LEARNED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    seed: int
    algorithm: str
    dynamics_model: str
    learned_fraction: float
    code: str
    config: str
    parent: str
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ..., seed: _Optional[int] = ..., algorithm: _Optional[str] = ..., dynamics_model: _Optional[str] = ..., learned_fraction: _Optional[float] = ..., code: _Optional[str] = ..., config: _Optional[str] = ..., parent: _Optional[str] = ...) -> None: ...

class ResolvePolicyRequest(_message.Message):
    __slots__ = ("name", "task")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class ResolvePolicyResponse(_message.Message):
    __slots__ = ("version", "task")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    version: str
    task: str
    def __init__(self, version: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class PrunePoliciesRequest(_message.Message):
    __slots__ = ("keep", "task", "delete")
    KEEP_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    keep: int
    task: str
    delete: bool
    def __init__(self, keep: _Optional[int] = ..., task: _Optional[str] = ..., delete: bool = ...) -> None: ...

class PrunePoliciesResponse(_message.Message):
    __slots__ = ("versions", "bytes")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedScalarFieldContainer[str]
    bytes: int
    def __init__(self, versions: _Optional[_Iterable[str]] = ..., bytes: _Optional[int] = ...) -> None: ...

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

class AuditEntry(_message.Message):
    __slots__ = ("at_ns", "action", "resource", "detail", "actor", "peer")
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    at_ns: int
    action: str
    resource: str
    detail: str
    actor: str
    peer: str
    def __init__(self, at_ns: _Optional[int] = ..., action: _Optional[str] = ..., resource: _Optional[str] = ..., detail: _Optional[str] = ..., actor: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
