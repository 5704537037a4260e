"""The ``aws`` that tasks on the embedded AWS find: the few calls that they make, and no others.

A program, not a module: it is started once for each call, without site-packages, and so imports
little. It speaks the command line of the AWS CLI 2 and ends with its exit codes.

    aws cloudwatch put-metric-data --namespace N --metric-data MetricName=M,Value=V,...
    aws stepfunctions describe-execution --execution-arn ARN --query MEMBER --output text

Address, key and region come from the environment, as the CLI itself would take them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import sys
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

# The CLI's own, from its user guide.
BAD_COMMAND, NO_SETTINGS, REFUSED, OTHER = 252, 253, 254, 255

FLAGS = ("--no-cli-pager",)
EVERYWHERE = ("--cli-connect-timeout", "--cli-read-timeout", "--region", "--query", "--output")
# Several words may follow it.
_LIST = "--metric-data"


class Wrong(Exception):
    """The call cannot be made, or was refused: ``status`` is what the program ends with."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def main(words: list[str]) -> int:
    """Make the call that ``words`` ask for; the exit status."""
    try:
        call = COMMANDS.get(" ".join(words[:2]))
        if call is None:
            raise Wrong(BAD_COMMAND, f"aws: the embedded AWS has no command {words[:2]}")
        call(options(words[2:]))
    except Wrong as wrong:
        sys.stderr.write(f"\n{wrong}\n")
        return wrong.status
    return 0


def put_metric_data(given: dict[str, list[str]]) -> None:
    """One call with every metric that was given."""
    only(given, "--namespace", _LIST)
    form = {
        "Action": "PutMetricData",
        "Version": "2010-08-01",
        "Namespace": needed(given, "--namespace"),
    }
    for number, text in enumerate(given.get(_LIST, []), 1):
        metric, dimensions = metric_of(text)
        for name, value in metric.items():
            form[f"MetricData.member.{number}.{name}"] = value
        for place, (name, value) in enumerate(dimensions.items(), 1):
            at = f"MetricData.member.{number}.Dimensions.member.{place}"
            form |= {f"{at}.Name": name, f"{at}.Value": value}
    ask("monitoring", "PutMetricData", given, urlencode(form), FORM)


def describe_execution(given: dict[str, list[str]]) -> None:
    """One member of the execution's description, as text."""
    only(given, "--execution-arn")
    member = given.get("--query", [""])[-1]
    if not re.fullmatch(r"[A-Za-z]+", member) or given.get("--output") != ["text"]:
        raise Wrong(BAD_COMMAND, "aws: say --query MEMBER --output text")
    body = json.dumps({"executionArn": needed(given, "--execution-arn")})
    headers = {**JSON, "x-amz-target": "AWSStepFunctions.DescribeExecution"}
    found = json.loads(ask("states", "DescribeExecution", given, body, headers)).get(member)
    text = "None" if found is None else str(found)
    sys.stdout.buffer.write(f"{text}\n".encode())


def options(words: list[str]) -> dict[str, list[str]]:
    """Every option with its words. Raises ``Wrong`` for a word that belongs to none."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word
            found[name] = []
        elif name and (not found[name] or name == _LIST):
            found[name].append(word)
        else:
            raise Wrong(BAD_COMMAND, f"aws: Unknown options: {word}")
    return found


def only(given: dict[str, list[str]], *names: str) -> None:
    """Raises ``Wrong`` when there is an option that the command does not know."""
    unknown = sorted(set(given) - {*names, *EVERYWHERE, *FLAGS})
    if unknown:
        raise Wrong(BAD_COMMAND, f"aws: Unknown options: {', '.join(unknown)}")


def needed(given: dict[str, list[str]], name: str) -> str:
    """The one word of an option. Raises ``Wrong`` when it is missing."""
    words = given.get(name, [])
    if len(words) != 1:
        raise Wrong(BAD_COMMAND, f"aws: the following arguments are required: {name}")
    return words[0]


def metric_of(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """A metric in the CLI's shorthand: its members, and its dimensions."""
    whole = re.fullmatch(r"(?P<plain>[^\[\]{}]*?)(?:,?Dimensions=\[(?P<dims>[^\]]*)\])?", text)
    if whole is None:
        raise Wrong(BAD_COMMAND, f"aws: Error parsing parameter '--metric-data': {text}")
    metric = members(whole["plain"])
    if not metric.keys() <= {"MetricName", "Unit", "Value"} or "MetricName" not in metric:
        raise Wrong(BAD_COMMAND, f"aws: Error parsing parameter '--metric-data': {text}")
    dimensions = {}
    for found in re.findall(r"\{([^}]*)\}", whole["dims"] or ""):
        pair = members(found)
        dimensions[pair.get("Name", "")] = pair.get("Value", "")
    return metric, dimensions


def members(text: str) -> dict[str, str]:
    """``Name=N,Value=V``. Raises ``Wrong`` for a part without an equals sign."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise Wrong(BAD_COMMAND, f"aws: Error parsing parameter: Expected: '=' in {text}")
    return {name: value for name, _, value in pairs}


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"content-type": "application/x-amz-json-1.0"}


def ask(
    service: str,
    operation: str,
    given: dict[str, list[str]],
    body: str,
    headers: dict[str, str],
) -> bytes:
    """Make the call; its answer. Raises ``Wrong`` when it is refused, or nobody answers."""
    address = urlsplit(setting("AWS_ENDPOINT_URL"))
    seconds = float(given.get("--cli-read-timeout", ["60"])[-1])
    connection = HTTPConnection(address.hostname or "", address.port or 80, timeout=seconds)
    signed = signature(service, address.netloc, body, headers)
    try:
        connection.request("POST", "/", body.encode(), signed)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, HTTPException) as error:
        where = f'endpoint URL: "{setting("AWS_ENDPOINT_URL")}/"'
        raise Wrong(OTHER, f"Could not connect to the {where} ({error})") from None
    finally:
        connection.close()
    if response.status >= 300:
        code, message = refusal(answer.decode("utf-8", "replace"))
        told = f"An error occurred ({code}) when calling the {operation} operation: {message}"
        raise Wrong(REFUSED, told)
    return answer


def refusal(answer: str) -> tuple[str, str]:
    """Code and message of an error, in either protocol."""
    try:
        told = json.loads(answer)
        return str(told.get("__type", "Unknown")), str(told.get("message", ""))
    except ValueError:
        found = [re.search(f"<{tag}>([^<]*)</{tag}>", answer) for tag in ("Code", "Message")]
        code, message = (match[1] if match else "Unknown" for match in found)
        return code, message


def setting(name: str) -> str:
    """A variable of the environment. Raises ``Wrong`` when it is not set."""
    found = os.environ.get(name)
    if not found:
        raise Wrong(NO_SETTINGS, f"aws: {name} is not set")
    return found


def signature(service: str, host: str, body: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers of a signed call (AWS Signature Version 4)."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    region = os.environ.get("AWS_REGION") or setting("AWS_DEFAULT_REGION")
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    whole = {**headers, "host": host, "x-amz-date": now}
    names = ";".join(sorted(whole))
    canonical = "".join(f"{name}:{whole[name]}\n" for name in sorted(whole))
    request = f"POST\n/\n\n{canonical}\n{names}\n{_digest(body)}"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{_digest(request)}"
    key = f"AWS4{setting('AWS_SECRET_ACCESS_KEY')}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    made = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={setting('AWS_ACCESS_KEY_ID')}/{scope}"
    whole["authorization"] = (
        f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={made}"
    )
    return whole


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


COMMANDS = {
    "cloudwatch put-metric-data": put_metric_data,
    "stepfunctions describe-execution": describe_execution,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
