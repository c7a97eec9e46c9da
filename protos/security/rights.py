"""The right that each call needs.

    act     be served with actions
    log     store transitions, and see what policies did on the plant
    read    see policies, episodes and jobs, and download policies; a controller needs it of its trainer
    admin   train, move labels, roll back, shadow, see the audit trail; and read

A method that is not listed needs `admin`. Health checks need no right, so that monitoring works without a
token.
"""

RIGHTS = ("act", "log", "read", "admin")

OPEN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})

_READ = frozenset({"read", "admin"})
_ANY = frozenset(RIGHTS)

NEEDED = {
    "/hds.v1.PolicyService/Control": frozenset({"act"}),
    "/hds.v1.PolicyService/Act": frozenset({"act"}),
    "/hds.v1.PolicyService/Describe": _READ | {"act"},
    "/hds.v1.PolicyAdminService/RollBack": frozenset({"admin"}),
    "/hds.v1.PolicyAdminService/SetShadow": frozenset({"admin"}),
    "/hds.v1.ExperienceService/Append": frozenset({"log"}),
    "/hds.v1.ExperienceService/GetWatermark": frozenset({"log"}),
    "/hds.v1.ExperienceService/ListEpisodes": _READ,
    "/hds.v1.ExperienceService/ReadEpisode": _READ,
    "/hds.v1.ExperienceService/ListSessions": _READ,
    "/hds.v1.ExperienceService/ScorePolicies": _READ | {"log"},
    "/hds.v1.ExperienceService/TagSession": frozenset({"admin"}),
    "/hds.v1.ExperienceService/ForgetSessions": frozenset({"admin"}),
    "/hds.v1.TrainingService/StartTraining": frozenset({"admin"}),
    "/hds.v1.TrainingService/StartRefit": frozenset({"admin"}),
    "/hds.v1.TrainingService/CancelJob": frozenset({"admin"}),
    "/hds.v1.TrainingService/GetJob": _READ,
    "/hds.v1.TrainingService/ListJobs": _READ,
    "/hds.v1.TrainingService/WatchJob": _READ,
    "/hds.v1.RegistryService/SetLabel": frozenset({"admin"}),
    "/hds.v1.RegistryService/ListPolicies": _READ,
    "/hds.v1.RegistryService/WatchLabel": _READ,
    "/hds.v1.RegistryService/DownloadPolicy": _READ,
    "/hds.v1.RegistryService/ResolvePolicy": _READ,
    "/hds.v1.RegistryService/PrunePolicies": frozenset({"admin"}),
    "/hds.v1.RegistryService/GetConfiguration": _READ,
    "/hds.v1.RegistryService/ListAudit": frozenset({"admin"}),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY,
}


def needed(method: str) -> frozenset[str]:
    """Return the rights for `method`; one of them suffices."""
    return NEEDED.get(method, frozenset({"admin"}))
