"""The two exposition formats, as far as they differ: Prometheus's text 0.0.4 and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/ and the OpenMetrics specification (sections "Text format"
and "Exemplars").
"""

import re
from collections.abc import Mapping

from appliance.metrics.family import Family, Kind

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = "# EOF\n"
"""Last line of OpenMetrics alone."""
EXEMPLAR_LIMIT = 128 - len("correlation_id")
"""OpenMetrics allows 128 characters for an exemplar's label names and values together."""
MAX_VALUE = 128
"""Characters of a label value; longer ones are cut."""

_UNSAFE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators and lone surrogates: legal or not, they break somebody's parser."""


def clean(value: str) -> str:
    """A label value that anyone can read: values that are equal afterwards are one."""
    return _UNSAFE.sub("\ufffd", value[:MAX_VALUE])


def label_value(value: str) -> str:
    """A label value as it is written between the quotes."""
    return clean(value).replace("\\", r"\\").replace('"', r"\"")


def label_text(labels: Mapping[str, str]) -> str:
    """``{a="b"}``, or nothing without labels."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{label_value(value)}"' for name, value in labels.items()) + "}"


def number(value: float) -> str:
    """A sample's value: integers without a point, the shortest exact form otherwise."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return repr(value)


def head(family: Family, openmetrics: bool) -> str:
    """HELP and TYPE. OpenMetrics names a counter without its ``_total``, an info without its ``_info``."""
    name, kind = family.full_name, family.kind.value
    if openmetrics and family.kind is Kind.COUNTER:
        name = name.removesuffix("_total")
    elif family.kind is Kind.INFO:
        name, kind = (name.removesuffix("_info"), kind) if openmetrics else (name, "gauge")
    help_text = family.help.replace("\\", r"\\")
    if openmetrics:
        help_text = help_text.replace('"', r"\"")
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics, as Prometheus's does; its quality must be above the text's."""
    best = {"openmetrics": 0.0, "text": 0.0}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if media.lower() == "application/openmetrics-text":
            best["openmetrics"] = max(best["openmetrics"], quality)
        elif media.lower() == "text/plain":
            best["text"] = max(best["text"], quality)
    return best["openmetrics"] > 0 and best["openmetrics"] >= best["text"]
