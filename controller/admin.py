"""PolicyAdminService: roll-back and shadow."""

import asyncio
from pathlib import Path

import grpc

from controller.follower import LabelFollower
from controller.loaded_policies import NoPreviousPolicy
from controller.loader import PolicyLoader, PolicyRejected
from controller.metrics import Metrics
from controller.service import PolicyService
from controller.shadow import Shadow
from protos.hds import v1


class PolicyAdminService(v1.PolicyAdminServiceServicer):
    """Changes that an operator may make."""

    def __init__(
        self, follower: LabelFollower, loader: PolicyLoader, service: PolicyService, directory: Path,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._follower = follower
        self._loader = loader
        self._service = service
        self._directory = directory
        self._metrics = metrics

    async def RollBack(
        self, request: v1.RollBackRequest, context: grpc.aio.ServicerContext
    ) -> v1.RollBackResponse:
        """Serve the previous policy."""
        try:
            left, version = await self._follower.roll_back(request.expected_version)
        except NoPreviousPolicy as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return v1.RollBackResponse(left_version=left, version=version)

    async def SetShadow(
        self, request: v1.SetShadowRequest, context: grpc.aio.ServicerContext
    ) -> v1.SetShadowResponse:
        """Start or end a shadow."""
        shadow = None
        if request.version:
            try:
                policy = await self._loader.load(request.version)
            except PolicyRejected as error:
                await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            shadow = Shadow(policy, self._directory, self._metrics)
        before, self._service.shadow = self._service.shadow, shadow
        if before is not None:
            await asyncio.to_thread(before.close)
        return v1.SetShadowResponse()
