"""Each rule of the gateway, on a template that has little else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from small_api import (
    ERROR_TEMPLATE,
    KEY,
    LIVE,
    Echo,
    Time,
    header,
    keyed,
    mocked,
    proxied,
    ref,
    request,
    resource,
    served,
    template,
    told,
)

from tapgen.local.gateway import description, validation
from tapgen.local.gateway.errors import NotRunnable
from tapgen.local.gateway.service import BODY_BYTES, InvokeFailed, InvokeTimedOut
from tapgen.local.gateway.turn import Request

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}},
}


def validated(**properties: Any) -> dict[str, Any]:
    """A POST whose body and parameters are validated."""
    return {
        "Named": resource("ApiGateway::Model", Name="Named", Schema=SCHEMA),
        "Validator": resource(
            "ApiGateway::RequestValidator",
            ValidateRequestBody=True,
            ValidateRequestParameters=True,
        ),
        "Post": proxied(
            method="POST",
            RequestValidatorId=ref("Validator"),
            RequestModels={"application/json": ref("Named")},
            **properties,
        ),
    }


# Routes


def test_a_path_or_a_method_that_is_not_there_lacks_an_authentication_token() -> None:
    service = served(template(Get=proxied()))

    assert told(service.answer(request(path="/dev/other"))) == (
        403,
        "MissingAuthenticationTokenException",
    )
    assert told(service.answer(request("DELETE"))) == (403, "MissingAuthenticationTokenException")
    assert service.answer(request(path="/dev/thing/")).status == 200


def test_another_stage_is_forbidden_and_has_none_of_the_api_s_words() -> None:
    worded = resource(
        "ApiGateway::GatewayResponse",
        ResponseType="DEFAULT_4XX",
        ResponseTemplates={"application/json": ERROR_TEMPLATE},
    )

    answer = served(template(Get=proxied(), Worded=worded)).answer(request(path="/prod/thing"))

    assert (answer.status, answer.body) == (403, b'{"message":"Forbidden"}')


def test_named_paths_win_over_variables_and_those_over_greedy_ones() -> None:
    echo = Echo()
    service = served(
        template(
            Any=resource(
                "ApiGateway::Resource", RestApiId=ref("Api"), ParentId="root", PathPart="{all+}"
            ),
            One=resource(
                "ApiGateway::Resource", RestApiId=ref("Api"), ParentId=ref("Thing"), PathPart="{id}"
            ),
            Mine=resource(
                "ApiGateway::Resource", RestApiId=ref("Api"), ParentId=ref("Thing"), PathPart="mine"
            ),
            GetAny=proxied("Any", "ANY"),
            GetOne=proxied("One"),
            GetMine=proxied("Mine"),
        ),
        echo,
    )

    for path in ("/dev/thing/mine", "/dev/thing/7", "/dev/a/b%20c"):
        service.answer(request(path=path))

    assert [(e["resource"], e["pathParameters"]) for e in echo.events] == [
        ("/thing/mine", None),
        ("/thing/{id}", {"id": "7"}),
        ("/{all+}", {"all": "a/b%20c"}),
    ]


# Keys, limits, quotas


def test_a_key_is_asked_for_where_the_method_says_so() -> None:
    echo = Echo()
    service = served(template(Get=proxied(ApiKeyRequired=True), **keyed()), echo)

    answers = [
        service.answer(request()),
        service.answer(request(x_api_key="wrong")),
        service.answer(request(X_API_Key=KEY)),
    ]

    assert [told(answer) for answer in answers] == [
        (403, "ForbiddenException"),
        (403, "ForbiddenException"),
        (200, ""),
    ]
    assert echo.event["requestContext"]["identity"]["apiKeyId"] == "key1"


@pytest.mark.parametrize("missing", ["Plan", "Member", "Key"])
def test_a_key_without_a_plan_for_the_stage_is_no_key(missing: str) -> None:
    parts = {name: item for name, item in keyed().items() if name != missing}

    service = served(template(Get=proxied(ApiKeyRequired=True), **parts))

    assert told(service.answer(request(x_api_key=KEY))) == (403, "ForbiddenException")


def test_a_key_that_is_not_enabled_is_no_key() -> None:
    parts = {**keyed(), "Key": resource("ApiGateway::ApiKey")}

    service = served(template(Get=proxied(ApiKeyRequired=True), **parts))

    assert told(service.answer(request(x_api_key=KEY))) == (403, "ForbiddenException")


def test_a_key_s_throttle_lets_a_burst_through_and_then_its_rate() -> None:
    clock = Time()
    parts = keyed(Throttle={"RateLimit": 2, "BurstLimit": 3})
    service = served(template(Get=proxied(ApiKeyRequired=True), **parts), clock=clock)

    at_once = [service.answer(request(x_api_key=KEY)).status for _ in range(4)]
    clock.now += 0.5
    later = [service.answer(request(x_api_key=KEY)) for _ in range(2)]

    assert at_once == [200, 200, 200, 429]
    assert [told(answer) for answer in later] == [(200, ""), (429, "TooManyRequestsException")]


def test_a_quota_ends_with_its_period() -> None:
    day = [datetime(2026, 11, 30, 23, 59, tzinfo=UTC)]
    parts = keyed(Quota={"Limit": 2, "Period": "MONTH"})
    service = served(template(Get=proxied(ApiKeyRequired=True), **parts), now=lambda: day[0])

    before = [service.answer(request(x_api_key=KEY)) for _ in range(3)]
    day[0] = datetime(2026, 12, 1, tzinfo=UTC)
    after = service.answer(request(x_api_key=KEY))

    assert [told(answer) for answer in before] == [
        (200, ""),
        (200, ""),
        (429, "LimitExceededException"),
    ]
    assert after.status == 200


def test_a_method_s_own_throttle_counts_for_it_alone_and_the_general_one_for_the_others() -> None:
    stage = {
        "MethodSettings": [
            {
                "ResourcePath": path,
                "HttpMethod": method,
                "ThrottlingRateLimit": 1,
                "ThrottlingBurstLimit": burst,
            }
            for path, method, burst in (("/*", "*", 2), ("/~1thing", "GET", 1))
        ]
    }
    service = served(template(stage, Get=proxied(), Post=proxied(method="POST")))

    assert [service.answer(request()).status for _ in range(2)] == [200, 429]
    assert [service.answer(request("POST")).status for _ in range(3)] == [200, 200, 429]


def test_limits_can_be_left_out_and_keys_cannot() -> None:
    parts = keyed(Quota={"Limit": 1, "Period": "DAY"}, Throttle={"RateLimit": 1, "BurstLimit": 1})
    service = served(template(Get=proxied(ApiKeyRequired=True), **parts), throttled=False)

    assert [service.answer(request(x_api_key=KEY)).status for _ in range(3)] == [200] * 3
    assert service.answer(request()).status == 403


# Validation


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name":"anna"}', 200),
        (b'{"name":"anna\\n"}', 400),
        (b'{"name":7}', 400),
        (b"{}", 400),
        (b"", 400),
        (b'{"name":', 400),
        (b'{"name":NaN}', 400),
        (b'\xff{"name":"anna"}', 400),
        (b"[" * 100_000, 400),
    ],
)
def test_a_body_is_judged_by_the_model_of_its_media_type(body: bytes, status: int) -> None:
    service = served(template(**validated()))

    answer = service.answer(request("POST", body=body, content_type="application/json"))

    assert answer.status == status
    if status == 400:
        assert json.loads(answer.body) == {"message": "Invalid request body"}


def test_a_body_of_another_media_type_has_no_model_and_one_without_any_is_json() -> None:
    service = served(template(**validated()))

    assert service.answer(request("POST", body=b"x", content_type="text/plain")).status == 200
    assert service.answer(request("POST", body=b"x")).status == 400
    typed = "application/json; charset=utf-8"
    assert service.answer(request("POST", body=b"x", content_type=typed)).status == 400


def test_required_parameters_must_be_there_and_not_blank() -> None:
    wanted = {
        "method.request.querystring.q": True,
        "method.request.header.X-Who": True,
        "method.request.querystring.other": False,
    }
    service = served(template(**validated(RequestParameters=wanted)))
    body = b'{"name":"anna"}'

    missing = service.answer(request("POST", query="q=%20", body=body))
    there = service.answer(request("POST", query="q=1", body=body, x_who="me"))

    assert (missing.status, json.loads(missing.body)) == (
        400,
        {"message": "Missing required request parameters: [q, X-Who]"},
    )
    assert there.status == 200


def test_what_the_key_refuses_is_never_validated() -> None:
    service = served(template(**{**validated(ApiKeyRequired=True), **keyed()}))

    assert service.answer(request("POST", body=b"no")).status == 403
    assert service.answer(request("POST", body=b"no", x_api_key=KEY)).status == 400


# Mocks


def test_a_mock_answers_as_its_integration_response_says() -> None:
    answer = served(template(Options=mocked())).answer(request("OPTIONS"))

    assert (answer.status, header(answer, "X-From"), answer.body) == (204, "the mock", b"")


def test_a_mock_that_never_passes_through_takes_no_other_media_type() -> None:
    service = served(template(Options=mocked()))

    answer = service.answer(request("OPTIONS", content_type="text/plain"))

    assert (answer.status, json.loads(answer.body)) == (415, {"message": "Unsupported Media Type"})


def test_a_mock_s_answer_is_picked_by_the_status_it_names() -> None:
    responses = [
        {"StatusCode": "200", "ResponseTemplates": {"text/plain": "in $context.stage"}},
        {"StatusCode": "404", "SelectionPattern": "4\\d\\d"},
    ]
    status = {"application/json": '{"statusCode": 200}'}
    missing = {"application/json": '{"statusCode": 404}'}
    service = served(
        template(
            Get=mocked(method="GET", RequestTemplates=status, IntegrationResponses=responses),
            Put=mocked(method="PUT", RequestTemplates=missing, IntegrationResponses=responses),
            Patch=mocked(method="PATCH", RequestTemplates=missing, IntegrationResponses=[]),
        )
    )

    found = service.answer(request("GET"))

    assert (found.status, header(found, "Content-Type"), found.body) == (
        200,
        "text/plain",
        b"in dev",
    )
    assert service.answer(request("PUT")).status == 404
    assert told(service.answer(request("PATCH"))) == (500, "InternalServerErrorException")


# What the gateway says by itself


def test_a_response_of_the_kind_s_own_wins_over_the_default_and_the_default_over_none() -> None:
    def worded(kind: str, **more: Any) -> dict[str, Any]:
        return resource("ApiGateway::GatewayResponse", ResponseType=kind, **more)

    service = served(
        template(
            Get=proxied(ApiKeyRequired=True),
            Four=worded(
                "DEFAULT_4XX",
                ResponseParameters={
                    "gatewayresponse.header.X-Id": "context.requestId",
                    "gatewayresponse.header.X-Who": "method.request.header.User-Agent",
                    "gatewayresponse.header.X-Fixed": "'one, two'",
                },
                ResponseTemplates={"application/json": ERROR_TEMPLATE},
            ),
            Own=worded(
                "INVALID_API_KEY",
                StatusCode=401,
                ResponseTemplates={
                    "application/json": '{"who":"$context.identity.sourceIp"}',
                    "text/plain": "no key",
                },
            ),
        )
    )

    default = service.answer(request("PUT", user_agent="curl"))
    own = service.answer(request())
    plain = service.answer(request(accept="text/html, text/plain;q=0.5"))

    assert json.loads(default.body) == {
        "code": "MISSING_AUTHENTICATION_TOKEN",
        "message": "Missing Authentication Token",
    }
    assert header(default, "X-Id") == header(default, "x-amzn-RequestId")
    assert (header(default, "X-Who"), header(default, "X-Fixed")) == ("curl", "one, two")
    assert (own.status, own.body) == (401, b'{"who":"127.0.0.1"}')
    assert (plain.body, header(plain, "Content-Type")) == (b"no key", "text/plain")


def test_a_body_larger_than_ten_megabytes_is_too_large_and_so_is_an_event_over_six() -> None:
    service = served(template(Post=proxied(method="POST")))

    largest = service.answer(Request("POST", "/dev/thing", too_large=True))
    large = service.answer(request("POST", body=b"x" * (BODY_BYTES + 1)))
    event = service.answer(request("POST", body=b"x" * (7 * 1024 * 1024)))

    assert [told(answer) for answer in (largest, large, event)] == [
        (413, "RequestTooLargeException")
    ] * 3
    assert json.loads(large.body) == {"message": "HTTP content length exceeded 10485760 bytes."}


# Proxies


def test_an_event_has_all_that_payload_format_1_has() -> None:
    echo = Echo()
    service = served(
        template(
            {"Variables": {"colour": "blue"}},
            Get=proxied(ApiKeyRequired=True),
            **keyed(),
        ),
        echo,
        now=lambda: datetime(2026, 11, 23, 14, 0, 1, 500_000, tzinfo=UTC),
    )
    sent = (
        ("Host", "api.example:8080"),
        ("X-Api-Key", KEY),
        ("Accept", "a"),
        ("Accept", "b"),
        ("User-Agent", "curl/8"),
        ("Connection", "keep-alive"),
        ("X-Forwarded-For", "203.0.113.9"),
    )

    answer = service.answer(
        Request("GET", "/dev/thing", "a=1&a=%C3%A9&b=&c=x+y", sent, source_ip="127.0.0.1")
    )

    event = echo.event
    context = event.pop("requestContext")
    trace = event["headers"].pop("X-Amzn-Trace-Id")
    assert event.pop("multiValueHeaders")["Accept"] == ["a", "b"]
    assert event == {
        "resource": "/thing",
        "path": "/thing",
        "httpMethod": "GET",
        "headers": {
            "Host": "api.example:8080",
            "X-Api-Key": KEY,
            "Accept": "b",
            "User-Agent": "curl/8",
            "X-Forwarded-For": "203.0.113.9, 127.0.0.1",
            "X-Forwarded-Port": "8080",
            "X-Forwarded-Proto": "https",
        },
        "queryStringParameters": {"a": "é", "b": "", "c": "x y"},
        "multiValueQueryStringParameters": {"a": ["1", "é"], "b": [""], "c": ["x y"]},
        "pathParameters": None,
        "stageVariables": {"colour": "blue"},
        "body": None,
        "isBase64Encoded": False,
    }
    assert trace.startswith("Root=1-6b04")
    assert context["requestId"] == header(answer, "x-amzn-RequestId")
    assert context.pop("extendedRequestId") == header(answer, "x-amz-apigw-id")
    identity = {name: value for name, value in context.pop("identity").items() if value}
    assert identity == {
        "sourceIp": "127.0.0.1",
        "userAgent": "curl/8",
        "apiKey": KEY,
        "apiKeyId": "key1",
    }
    context.pop("requestId")
    assert context == {
        "resourceId": "Thing",
        "resourcePath": "/thing",
        "httpMethod": "GET",
        "requestTime": "23/Nov/2026:14:00:01 +0000",
        "requestTimeEpoch": 1795442401500,
        "path": "/dev/thing",
        "accountId": "123456789012",
        "protocol": "HTTP/1.1",
        "stage": "dev",
        "domainName": "api.example",
        "domainPrefix": "api",
        "deploymentId": "d1",
        "apiId": "abc123",
    }


def test_a_request_without_query_has_none_in_the_event() -> None:
    echo = Echo()

    served(template(Get=proxied()), echo).answer(request())

    assert echo.event["queryStringParameters"] is None
    assert echo.event["multiValueQueryStringParameters"] is None


def test_binary_media_types_go_to_the_function_as_base64_and_others_as_text() -> None:
    echo = Echo()
    service = served(
        template(api={"BinaryMediaTypes": ["image/*"]}, Post=proxied(method="POST")), echo
    )

    service.answer(request("POST", body=b"\xff\x00", content_type="image/png"))
    service.answer(request("POST", body="é".encode(), content_type="text/plain"))
    service.answer(request("POST", body=b"\xff", content_type="text/plain"))

    assert [(e["isBase64Encoded"], e["body"]) for e in echo.events] == [
        (True, "/wA="),
        (False, "é"),
        (False, "\ufffd"),
    ]


def test_base64_is_decoded_for_clients_that_accept_the_binary_type_first() -> None:
    echo = Echo(
        {"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(b"\xff").decode()}
    )
    service = served(template(api={"BinaryMediaTypes": ["image/png"]}, Get=proxied()), echo)

    assert service.answer(request(accept="image/png, */*")).body == b"\xff"
    assert service.answer(request(accept="*/*")).body == b"/w=="
    echo.answer["body"] = "no base64!"
    assert service.answer(request(accept="image/png")).status == 500


def test_headers_of_an_answer_are_joined_kept_or_renamed() -> None:
    echo = Echo(
        {
            "statusCode": "201",
            "headers": {"X-One": 1, "X-Both": "lost", "Date": "today", "Upgrade": "h2c"},
            "multiValueHeaders": {"x-both": ["a", "b"]},
            "body": "é",
        }
    )

    answer = served(template(Get=proxied()), echo).answer(request())

    assert answer.status == 201
    assert answer.headers[:5] == (
        ("x-both", "a"),
        ("x-both", "b"),
        ("X-One", "1"),
        ("x-amzn-Remapped-Date", "today"),
        ("Content-Type", "application/json"),
    )
    assert not header(answer, "Upgrade")
    assert answer.body == "é".encode()


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        None,
        [],
        {},
        {"statusCode": "ok"},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"a": {}}},
        {"statusCode": 200, "headers": {"a": "b\r\nSet-Cookie: c"}},
        {"statusCode": 200, "multiValueHeaders": {"a": "b"}},
        {"errorMessage": "no", "errorType": "ValueError"},
    ],
)
def test_an_answer_of_another_form_is_a_bad_gateway(answer: Any) -> None:
    echo = Echo()
    echo.answer = answer

    found = served(template(Get=proxied()), echo).answer(request())

    assert (found.status, json.loads(found.body)) == (502, {"message": "Internal server error"})


def test_a_function_that_fails_is_502_and_one_that_takes_too_long_504() -> None:
    lines: list[str] = []
    echo = Echo()
    form = "$context.error.responseType $context.integration.status $context.status"
    service = served(
        template({"AccessLogSetting": {"Format": form}}, Get=proxied()), echo, log=lines.append
    )

    echo.raising = InvokeFailed("no")
    failed = service.answer(request())
    echo.raising = InvokeTimedOut()
    late = service.answer(request())

    assert told(failed) == (502, "InternalServerErrorException")
    assert (late.status, json.loads(late.body)) == (504, {"message": "Endpoint request timed out"})
    assert lines == ["INTEGRATION_FAILURE 200 502", "INTEGRATION_TIMEOUT - 504"]


@pytest.mark.parametrize(
    "source",
    [
        None,
        "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/dev/POST/thing",
        "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/prod/*",
        "arn:aws:execute-api:ap-northeast-1:123456789012:other/*",
    ],
)
def test_a_function_that_does_not_let_the_method_invoke_it_is_a_configuration_error(
    source: str | None,
) -> None:
    document = template(Get=proxied())
    if source is None:
        del document["Resources"]["Permission"]
    else:
        document["Resources"]["Permission"]["Properties"]["SourceArn"] = source
    echo = Echo()

    answer = served(document, echo).answer(request())

    assert told(answer) == (500, "InternalServerErrorException")
    assert echo.events == []


# Logs


def test_the_log_line_has_the_template_s_form_whatever_the_client_sends() -> None:
    lines: list[str] = []
    form = '{"agent": "$context.identity.userAgent", "key": "$context.identity.apiKeyId"}'
    service = served(
        template({"AccessLogSetting": {"Format": form}}, Get=proxied()), log=lines.append
    )

    service.answer(request(user_agent='"}\n{'))

    assert [json.loads(line) for line in lines] == [{"agent": '"}\n{', "key": "-"}]


# What cannot be served is told when the template is read


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Get": proxied()}, "Get: AuthorizationType AWS_IAM"),
        ({"Get": mocked(Type="HTTP_PROXY")}, "Get: integration HTTP_PROXY"),
        (
            {"Get": mocked(RequestTemplates={"application/json": "#set($a = 1)"})},
            "Get: a mapping template in VTL",
        ),
        (
            {"Get": mocked(RequestTemplates={"application/json": "$input.body"})},
            "Get: a mapping template in VTL",
        ),
        ({"Other": resource("ApiGateway::Stage", StageName="b")}, "it has 2 of AWS::ApiGateway::"),
        (
            {"Post": {**validated()["Post"]}, "Validator": validated()["Validator"]},
            "Post: there is no model",
        ),
        (
            {**validated(), "Named": resource("ApiGateway::Model", Schema={"type": "text"})},
            "Named: 'text' is not valid",
        ),
    ],
)
def test_a_template_that_cannot_be_served_is_refused_by_name(
    change: dict[str, Any], text: str
) -> None:
    if "AuthorizationType" in text:
        change["Get"]["Properties"]["AuthorizationType"] = "AWS_IAM"

    with pytest.raises(NotRunnable) as caught:
        description.api(template(**change), LIVE)

    assert text in str(caught.value)


def test_a_body_too_deep_to_compare_is_refused_like_any_other_bad_one() -> None:
    model = validation.Model(
        {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}}
    )
    deep = "[" * 900 + "]" * 900

    problems = model.problems(f'{{"tags": [{deep}, {deep}]}}'.encode())

    assert problems in (["the body is nested too deep"], ["tags: uniqueItems"])
