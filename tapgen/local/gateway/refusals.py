"""What API Gateway answers by itself: kinds of refusal, and how a template rewords them.

Kinds, statuses and what falls back to which default are those of the developer guide's list of
gateway response types. A refusal looks for a response of its own kind, then for its default, then
for API Gateway's own words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tapgen.local.gateway import variables

JSON = "application/json"


@dataclass(frozen=True)
class Kind:
    """A kind of refusal: its default status, API Gateway's words, and its x-amzn-ErrorType."""

    status: int
    message: str
    error_type: str

    @property
    def default(self) -> str:
        """The response that stands in for one of its own."""
        return "DEFAULT_4XX" if self.status < 500 else "DEFAULT_5XX"


_SERVER = "Internal server error"
KINDS: Mapping[str, Kind] = {
    "API_CONFIGURATION_ERROR": Kind(500, _SERVER, "InternalServerErrorException"),
    "BAD_REQUEST_BODY": Kind(400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": Kind(400, "Invalid request parameters", "BadRequestException"),
    # 504 in the guide's list; clients meet 502 when a function fails or answers in another form
    # (github.com/DataBiosphere/azul/issues/7470 shows one, worded by a response of this type).
    "INTEGRATION_FAILURE": Kind(502, _SERVER, "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Kind(504, "Endpoint request timed out", "InternalServerErrorException"),
    "INVALID_API_KEY": Kind(403, "Forbidden", "ForbiddenException"),
    "MISSING_AUTHENTICATION_TOKEN": Kind(
        403, "Missing Authentication Token", "MissingAuthenticationTokenException"
    ),
    "QUOTA_EXCEEDED": Kind(429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TOO_LARGE": Kind(413, "Request Too Long", "RequestTooLargeException"),
    "THROTTLED": Kind(429, "Too Many Requests", "TooManyRequestsException"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "Unsupported Media Type", "BadRequestException"),
}


class Refusal(Exception):
    """The gateway's own answer. ``detail`` is for a validation error's text alone."""

    def __init__(self, kind: str, message: str = "", *, detail: str = "") -> None:
        self.kind = kind
        self.message = message or KINDS[kind].message
        self.detail = detail
        super().__init__(f"{kind}: {self.message}")


@dataclass(frozen=True)
class GatewayResponse:
    """A template's wording of one kind."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Worded:
    """A refusal as it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def worded(
    refusal: Refusal,
    responses: Mapping[str, GatewayResponse],
    context: dict[str, str],
    headers: Mapping[str, str],
) -> Worded:
    """Put a refusal into the template's words; adds ``context.error.…`` to ``context``.

    ``headers`` are the request's, by lower-case name.
    """
    kind = KINDS[refusal.kind]
    context["context.error.responseType"] = refusal.kind
    context["context.error.message"] = refusal.message
    context["context.error.messageString"] = json.dumps(refusal.message)
    context["context.error.validationErrorString"] = refusal.detail
    found = responses.get(refusal.kind) or responses.get(kind.default) or GatewayResponse()
    media_type, template = _chosen(found.templates, headers.get("accept", ""))
    own = tuple(
        (name, variables.parameter(value, context, headers))
        for name, value in found.headers.items()
    )
    named = {name.lower() for name, _ in own}
    standard = (("Content-Type", media_type), ("x-amzn-ErrorType", kind.error_type))
    return Worded(
        found.status or kind.status,
        (*(pair for pair in standard if pair[0].lower() not in named), *own),
        variables.fill(template, context).encode(),
    )


def _chosen(templates: Mapping[str, str], accept: str) -> tuple[str, str]:
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in templates:
            return media_type, templates[media_type]
    if JSON in templates:
        return JSON, templates[JSON]
    for media_type, template in templates.items():
        return media_type, template
    return JSON, '{"message":$context.error.messageString}'
