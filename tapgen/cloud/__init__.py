"""What tapgen asks of AWS, in the words of the engine, and how AWS can refuse.

Values, errors and protocols: ``aws`` answers with boto3, the tests with a twin in memory. Nothing
here imports either. A stack is always meant by its id once it has one, because a name can be given
again.
"""

from tapgen.cloud.doors import Account, CloudFormation, Services
from tapgen.cloud.errors import (
    AccessDenied,
    CloudError,
    ExpiredCredentials,
    FunctionFailed,
    NoCredentials,
    Refused,
    Throttled,
    Unreachable,
)
from tapgen.cloud.values import (
    Caller,
    Change,
    ChangeSet,
    DeployedStack,
    Failure,
    Kept,
    Manner,
    PropertyChange,
    Request,
    Resource,
    StackEvent,
)

__all__ = [
    "AccessDenied",
    "Account",
    "Caller",
    "Change",
    "ChangeSet",
    "CloudError",
    "CloudFormation",
    "DeployedStack",
    "ExpiredCredentials",
    "Failure",
    "FunctionFailed",
    "Kept",
    "Manner",
    "NoCredentials",
    "PropertyChange",
    "Refused",
    "Request",
    "Resource",
    "Services",
    "StackEvent",
    "Throttled",
    "Unreachable",
]
