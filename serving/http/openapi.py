"""The OpenAPI description of our addresses, at /docs.json; its schemas are made from the answers' own models."""

from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from genre_classifier.session import ModelInfo
from genre_classifier.verdict import Aggregate, Embedding, Verdict

ERRORS = {
    "400": "Not audio, no file, a URL or text instead of one, or a bad parameter.",
    "401": "A key is needed, and there is none or a wrong one.",
    "408": "The upload took too long.",
    "413": "The request is too large, or the audio too long.",
    "422": "The audio is shorter than a chunk, or silent.",
    "500": "A fault of the service.",
    "503": "The service is busy or restarting: try again after the seconds that Retry-After names.",
}


UPLOAD_ERRORS = [status for status in ERRORS if status != "401"]
SECURITY = {  # one of the two
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe(info: ModelInfo, *, keys: bool = False) -> dict[str, Any]:
    """Describe the service with this model, as OpenAPI 3.1; `keys` is whether it asks for one."""
    description = _describe(info)
    if keys:
        description["components"]["securitySchemes"] = SECURITY
        for address in ("/classify", "/embed", "/model"):
            for operation in description["paths"][address].values():
                operation["security"] = [{name: []} for name in SECURITY]
                operation["responses"] |= _errors("401")
    return description


def _describe(info: ModelInfo) -> dict[str, Any]:
    names, schemas = models_json_schema(
        [(model, "validation") for model in (Verdict, Embedding, ModelInfo)],
        ref_template="#/components/schemas/{model}",
    )
    answers = {model.__name__: ref for (model, _), ref in names.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Genre classifier",
            "summary": f"A clip of 3 seconds or more in, one of {len(info.labels)} genres out.",
            "version": info.version,
        },
        "paths": {
            "/classify": {
                "post": _posted(
                    "classify",
                    "The genre of one file, or of each of several",
                    answers["Verdict"],
                    {
                        "top_k": {
                            "type": ["integer", "null"],
                            "minimum": 1,
                            "maximum": len(info.labels),
                            "description": "Genres to list; all, if left out or null.",
                        },
                        "aggregate": {
                            "enum": [*get_args(Aggregate), None],
                            "default": "vote",
                            "description": "vote or null: the genre that most segments chose; mean: the most probable.",
                        },
                    },
                )
            },
            "/embed": {
                "post": _posted(
                    "embed",
                    "Numbers that describe how one file sounds, or each of several",
                    answers["Embedding"],
                    {},
                )
            },
            "/model": {
                "get": _read(
                    "model",
                    "The model, its accuracy, and the limits",
                    "application/json",
                    {
                        "allOf": [answers["ModelInfo"]],
                        "properties": {"release": {"type": "string"}, "limits": {"type": "object"}},
                        "required": ["release", "limits"],
                    },
                )
            },
            "/": {"get": _read("page", "The page to drop files on", "text/html", {"type": "string"})},
            "/sample.mp3": {"get": _read("sample", "A clip to try", "audio/mpeg", {"type": "string"})},
            "/about": {"get": _read("about", "The model, for people", "text/html", {"type": "string"})},
            "/docs": {"get": _read("docs", "This description, for people", "text/html", {"type": "string"})},
            "/docs.json": {"get": _read("docs_json", "This description", "application/json", {"type": "object"})},
            "/livez": {"get": _read("livez", "Whether the service lives", "text/plain", {"type": "string"})},
            "/readyz": {"get": _read("readyz", "Whether the model can be asked", "text/plain", {"type": "string"})},
            "/metrics": {"get": _read("metrics", "Prometheus metrics", "text/plain", {"type": "string"})},
        },
        "components": {
            "schemas": schemas["$defs"]
            | {
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string", "description": "One sentence that says what to do."}},
                    "required": ["error"],
                    "additionalProperties": False,
                },
                "FileError": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}, "status": {"type": "integer"}},
                    "required": ["error", "status"],
                    "additionalProperties": False,
                },
            }
        },
    }


def _posted(name: str, summary: str, answer: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe an address that files are posted to."""
    file_error = {"$ref": "#/components/schemas/FileError"}
    answers = {"oneOf": [answer, {"type": "array", "items": {"anyOf": [answer, file_error]}, "minItems": 2}]}
    audio = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "Audio files of any common format. Several are answered by a list in the order sent.",
    }
    body = {
        "type": "object",
        "properties": {"audio": audio, **parameters},
        "required": ["audio"],
    }
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": body, "encoding": {"audio": {"contentType": "audio/*"}}}},
        },
        "responses": {"200": _response("The answer.", "application/json", answers), **_errors(*UPLOAD_ERRORS)},
    }


def _read(name: str, summary: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Describe an address that is read."""
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _response("As described.", media, schema), **_errors("503")},
    }


def _errors(*statuses: str) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _response(ERRORS[status], "application/json", error) for status in statuses}


def _response(description: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": schema}}}
