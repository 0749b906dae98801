"""The page /docs: the OpenAPI description as plain HTML."""

import json
from html import escape
from typing import Any

from serving.http.pages import frame, table

ERRORS_AND_MORE = (
    'Errors are JSON with one sentence, <code>{"error": "..."}</code>. <a href="docs.json">The same as OpenAPI 3.1</a>'
)
EXAMPLE = "curl {}-F audio=@song.mp3 {}"
KEY_OPTION = '-H "Authorization: Bearer KEY" '


def docs(description: dict[str, Any], url: str) -> str:
    """The description as a page of HTML; `url` is where the service was asked, for examples."""
    parts = [f"<p>{escape(description['info']['summary'])} {ERRORS_AND_MORE}</p>"]
    key = KEY_OPTION if "securitySchemes" in description["components"] else ""
    if key:
        parts.append(
            "<p>A request needs a key of the operator's, in the header <code>Authorization: Bearer KEY</code> or "
            "<code>X-API-Key: KEY</code>, where 401 is among the answers below.</p>"
        )
    read = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if "requestBody" in operation:
                example = EXAMPLE.format(key, url.rstrip("/") + path)
                parts.append(_posted(f"{method.upper()} {path}", operation, example))
            else:
                read.append([f"{method.upper()} {path}", f"{operation['summary']}."])
    parts += ["<h2>What is read</h2>", table(["Address", "Answer"], read, "Addresses without fields")]
    schemas = description["components"]["schemas"]
    parts.append("<h2>What answers hold</h2>")
    parts += [_schema(name, schema) for name, schema in schemas.items() if "properties" in schema]
    return frame("How to ask this service", *parts)


def _posted(name: str, operation: dict[str, Any], example: str) -> str:
    """An address that files are posted to: an example, its fields, its answers."""
    (content,) = operation["requestBody"]["content"].values()
    schema = content["schema"]
    fields = [
        [field, _type(what), "yes" if field in schema["required"] else "no", what.get("description", "")]
        for field, what in schema["properties"].items()
    ]
    answers = [[status, response["description"]] for status, response in operation["responses"].items()]
    return "\n".join((
        f"<h2><code>{escape(name)}</code></h2>\n<p>{escape(operation['summary'])}.</p>",
        f"<pre>{escape(example)}</pre>",
        table(["Field", "Type", "Needed", "Meaning"], fields, f"Fields of {name}"),
        table(["Status", "Meaning"], answers, f"Answers of {name}"),
    ))  # fmt: skip


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        [field, _type(what), "always" if field in needed else "not always", what.get("description", "")]
        for field, what in schema["properties"].items()
    ]
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>\n' + table(["Field", "Type", "There", "Meaning"], rows, name)


def _type(schema: dict[str, Any]) -> str:
    """A schema's type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[choice])))
    kinds = schema.get("type", "any")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if kind == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return "file" if schema.get("format") == "binary" else kind
