"""Version 1 of the wire: messages and service stubs by name.

from protos.hds import v1
stub = v1.PolicyServiceStub(channel)
stub.Describe(v1.DescribeRequest())
"""

from protos.hds.v1.experience_pb2 import *  # noqa: F403
from protos.hds.v1.experience_pb2_grpc import *  # noqa: F403
from protos.hds.v1.policy_pb2 import *  # noqa: F403
from protos.hds.v1.policy_pb2_grpc import *  # noqa: F403
from protos.hds.v1.registry_pb2 import *  # noqa: F403
from protos.hds.v1.registry_pb2_grpc import *  # noqa: F403
from protos.hds.v1.training_pb2 import *  # noqa: F403
from protos.hds.v1.training_pb2_grpc import *  # noqa: F403
from protos.hds.v1.types_pb2 import *  # noqa: F403
