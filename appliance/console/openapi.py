"""The query API described as OpenAPI 3.1 has it, from :mod:`appliance.console.operations`."""

from typing import Any

import msgspec

import appliance
from appliance.console.gate import COOKIE
from appliance.console.operations import OPERATIONS, Operation, Parameter

_REFERENCE = "#/components/schemas/{name}"
_ERRORS = {
    400: "A parameter is not what is wanted; the message says which and what.",
    401: "There is a login, and nobody has logged in or the secret is wrong.",
    403: "A page of another site asks, or the server is not known by that name.",
    404: "There is no such call, or event of it.",
    429: "Too many wrong secrets; `Retry-After` says when to try again.",
    500: "The store could not be read; the log says why.",
    503: "No store keeps calls.",
}


def description() -> dict[str, Any]:
    """The whole document."""
    answers = [operation.answer for operation in OPERATIONS if operation.answer is not None]
    _, schemas = msgspec.json.schema_components(answers, ref_template=_REFERENCE)
    error = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "WebRTC appliance: calls, events and records",
            "version": appliance.__version__,
            "description": "Read-only. Times are microseconds since the Unix epoch, in UTC.",
        },
        "paths": {operation.path: {"get": _get(operation)} for operation in OPERATIONS},
        # Alternatives, of which the first is nothing at all: a console on loopback may have no login.
        "security": [{}, {"secret": []}, {"session": []}],
        "components": {
            "schemas": {**schemas, "Error": error},
            "securitySchemes": {
                "secret": {"type": "http", "scheme": "bearer", "description": "A reader's or an operator's secret."},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by the login page."},
            },
        },
    }


def _get(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if operation.answer is not None:
        schema = {"$ref": _REFERENCE.format(name=operation.answer.__name__)}
    content = {
        kind: {"schema": schema if kind == "application/json" else {"type": "string"}} for kind in operation.content
    }
    responses: dict[str, Any] = {"200": {"description": operation.about, "content": content}}
    for status in sorted({400, 401, 403, 429, *operation.statuses, *((500, 503) if operation.wants_store else ())}):
        if status == 304:
            responses["304"] = {"description": "As the ETag in If-None-Match says."}
        else:
            error = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}
            responses[str(status)] = {"description": _ERRORS[status], "content": error}
    return {
        "summary": operation.about,
        "operationId": operation.name,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": responses,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.in_path,
        "description": parameter.about,
        "schema": parameter.schema,
    }
