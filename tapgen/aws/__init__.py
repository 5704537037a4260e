"""AWS: the only folder that talks to it, and the one module in it that knows boto3.

``connection`` makes clients and translates what they raise; ``stacks`` and ``account`` ask the
engine's questions through it.
"""

from tapgen.aws.account import AwsAccount
from tapgen.aws.connection import Connection, Endpoint, connect
from tapgen.aws.stacks import AwsCloudFormation

__all__ = ["AwsAccount", "AwsCloudFormation", "Connection", "Endpoint", "connect"]
