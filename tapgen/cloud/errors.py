"""How AWS can refuse, or not answer."""

from __future__ import annotations

from tapgen.errors import TapgenError


class CloudError(TapgenError):
    """AWS answered no, or did not answer."""


class NoCredentials(CloudError):
    """Nobody to be."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(
            f"no AWS credentials: {detail}; sign in (aws sso login), set AWS_PROFILE, "
            "or use --local for the embedded AWS"
        )


class ExpiredCredentials(CloudError):
    """Credentials that were good once. Operations under way run on."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"the AWS credentials have expired ({detail}); sign in and run it again")


class Unreachable(CloudError):
    """No answer from an endpoint."""

    def __init__(self, service: str, endpoint: str, detail: str) -> None:
        self.service, self.endpoint, self.detail = service, endpoint, detail
        super().__init__(
            f"cannot reach {service} at {endpoint}; check the network, the proxy and "
            "AWS_ENDPOINT_URL"
        )


class Throttled(CloudError):
    """Asked too often, even after botocore's own retries."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        super().__init__(f"AWS throttles {operation}; wait a minute and run it again")


class Refused(CloudError):
    """An answer with an error code. ``code`` and ``detail`` are AWS's own."""

    def __init__(self, operation: str, code: str, detail: str) -> None:
        self.operation, self.code, self.detail = operation, code, detail
        super().__init__(f"AWS refused {operation}: {detail} ({code})")


class AccessDenied(Refused):
    """A permission is missing."""


class FunctionFailed(CloudError):
    """A Lambda function that was run and ended with an error of its own."""

    def __init__(self, function: str, detail: str) -> None:
        self.function, self.detail = function, detail
        super().__init__(f"{function} failed: {detail}; its log group has the whole story")
