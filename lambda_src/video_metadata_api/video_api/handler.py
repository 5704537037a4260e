"""The Lambda handler of the API: ``video_api.handler.handler``.

Wires the parts together, once for each execution environment and at its first request: an
initialisation that fails is repeated by Lambda for ever, a request that fails says why. Logs one
line for each request, without its values, and its metrics.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from video_api import settings as environment
from video_api.budget import Deadline, Watchdog
from video_api.cache import Cache
from video_api.database import Database
from video_api.request import is_proxy_event, request_id
from video_api.routes import Routes, Turn
from video_api.secrets import SecretsManager, SecretStore
from video_api.service import Service
from video_api.tracing import DaemonProvider

SERVICE = "video-metadata-api"
NAMESPACE = "VideoProcessing"

_service_name = os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE)
logger = Logger(service=_service_name)
metrics = Metrics(
    service=_service_name, namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", NAMESPACE)
)
metrics.set_default_dimensions(environment=os.environ.get("ENVIRONMENT") or "unknown")
provider = DaemonProvider()
# A provider is given, so the X-Ray SDK is neither needed nor looked for; it decides for itself
# whether there is a daemon to send to.
tracer = Tracer(service=_service_name, provider=provider, disabled=False, auto_patch=False)

_COUNTED = {
    "cache_hit": "CacheHit",
    "cache_miss": "CacheMiss",
    "cache_unavailable": "CacheUnavailable",
    "database_error": "DatabaseError",
    "database_connected": "DatabaseConnected",
}


def report(event: str, **facts: object) -> None:
    """Count an event; tell the log of those that are trouble."""
    metrics.add_metric(name=_COUNTED[event], unit=MetricUnit.Count, value=1)
    if facts:
        logger.warning(event, extra=dict(facts))


def span(name: str) -> AbstractContextManager[object]:
    """A subsegment of the trace."""
    return provider.in_subsegment(name)


class Application:
    """The parts of one execution environment."""

    def __init__(self, settings: environment.Settings, fetch: SecretsManager) -> None:
        watchdog = Watchdog()
        secrets = SecretStore(fetch)
        self.database = Database(
            settings.database, secrets, watchdog=watchdog, span=span, report=report
        )
        self.cache = Cache(settings.cache, secrets, watchdog=watchdog, span=span, report=report)
        self.service = Service(self.database, self.cache)

    def close(self) -> None:
        """Drop the connections."""
        self.database.close()
        self.cache.close()


_fetch = SecretsManager()
_application: Application | None = None


def application() -> Application:
    """The application of this environment, made at the first call. Raises SettingsError."""
    global _application
    if _application is None:
        _application = Application(environment.read(os.environ), _fetch)
    return _application


routes = Routes(lambda: application().service)


def reset() -> None:
    """Forget the application and its connections, as a new execution environment would."""
    global _application
    if _application is not None:
        _application.close()
    _application = None


# Only Lambda sets this. Its initialisation has a whole processor, a request at 512 MB a third of
# one: the AWS client is made in the former. Nothing is asked over the network here.
if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ and "DB_SECRET_ARN" in os.environ:
    _fetch.warm(os.environ["DB_SECRET_ARN"])


@logger.inject_lambda_context(
    correlation_id_path="requestContext.requestId", log_event=False, clear_state=True
)
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event of API Gateway. Raises nothing."""
    started = monotonic()
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    deadline = Deadline.of_request(remaining() if callable(remaining) else None)
    named = request_id(event, getattr(context, "aws_request_id", "unknown"))
    turn = Turn(event, named, deadline)
    answer = routes.answer(turn, context)
    _tell(turn, answer["statusCode"], (monotonic() - started) * 1000)
    return answer


def _tell(turn: Turn, status: int, milliseconds: float) -> None:
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="Latency", unit=MetricUnit.Milliseconds, value=milliseconds)
    if status >= 400:
        name = "ServerErrors" if status >= 500 else "ClientErrors"
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    facts: dict[str, object] = {
        "operation": _operation(turn.event),
        "status": status,
        "duration_ms": round(milliseconds, 2),
    }
    if turn.error is not None:
        facts["code"] = turn.error.kind.code
    if turn.because:
        facts |= turn.because
    (logger.error if status >= 500 else logger.info)("request", extra=facts)


def _operation(event: Mapping[str, Any]) -> str:
    """Method and path when they are the API's; a path that a client made up is not repeated."""
    if is_proxy_event(event):
        operation = f"{event['httpMethod']} {event['path']}"
        if operation in _OPERATIONS:
            return operation
    return "other"


_OPERATIONS = frozenset(
    f"{method} {path}" for path in ("/health", "/metadata") for method in ("GET", "POST", "OPTIONS")
)
