"""The ontology and the shapes as pages for people: plain HTML, nothing loaded from outside."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from ontology import AttributeUse, EntityType, Kind, Model

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #bbb;padding:.25rem .6rem;text-align:left;"
    "vertical-align:top}code{font-size:.95em}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#8cf}}"
)
_SHAPE = re.compile(r"^vs:(\S+) a sh:(?:Node|Property)Shape ;$(.*?) \.$", re.MULTILINE | re.DOTALL)
_SEVERITY = re.compile(r"sh:severity sh:(\w+)")
_MESSAGE = re.compile(r'sh:message "((?:[^"\\]|\\.)*)"')


def ontology_page(model: Model) -> str:
    """Return the classes of the model with their attributes."""
    body = [
        f"<p>Version {escape(model.version)}, namespace <code>{escape(model.namespace)}</code>. The same as "
        "<code>text/turtle</code> or <code>application/ld+json</code>, and as an "
        '<a href="contexts/cim.jsonld">@context</a>. The rules on values are in the <a href="shapes">shapes</a>.</p>'
    ]
    for domain in model.domains.values():
        links = ", ".join(f'<a href="#{c.name}">{escape(c.name)}</a>' for c in model.classes_of(domain.name))
        body.append(f"<p><strong>{escape(domain.label)}</strong>: {links}</p>")
    for domain in model.domains.values():
        body.append(f"<h2>{escape(domain.label)}</h2><p>{escape(domain.comment)}</p>")
        body += [_class(class_) for class_ in model.classes_of(domain.name)]
    return page("Voltweave common information model", body)


def shapes_page(files: list[Path]) -> str:
    """Return every shape that says something, with its severity and its message."""
    body = [
        "<p>SHACL shapes of the common information model. The same as <code>text/turtle</code> or "
        '<code>application/ld+json</code>; what the attributes mean is in the <a href="ontology">ontology</a>.</p>'
    ]
    for file in files:
        rows = "".join(_shape_rows(file.read_text("utf-8")))
        head = "<thead><tr><th>shape</th><th>severity</th><th>says</th></tr></thead>"
        body.append(f"<h2>{escape(file.stem)}</h2><table>{head}<tbody>{rows}</tbody></table>")
    return page("Voltweave shapes", body)


def _shape_rows(turtle: str) -> Iterator[str]:
    for name, lines in _SHAPE.findall(turtle):
        message = _MESSAGE.search(lines)
        if message:
            severity = _SEVERITY.search(lines)
            told = message[1].replace('\\"', '"').replace("\\\\", "\\")
            yield (
                f'<tr id="{escape(name)}"><td><code>{escape(name)}</code></td>'
                f"<td>{severity[1] if severity else 'Violation'}</td><td>{escape(told)}</td></tr>"
            )


def _class(class_: EntityType) -> str:
    rows = "".join(_row(use) for use in class_.attributes.values())
    head = "<thead><tr><th>attribute</th><th>kind</th><th>value</th><th>needed</th><th>meaning</th></tr></thead>"
    return (
        f'<h3 id="{class_.name}">{class_.name}</h3><p>{escape(class_.comment)} '
        f"Id: <code>{escape(class_.identifier)}</code></p><table>{head}<tbody>{rows}</tbody></table>"
    )


def _row(use: AttributeUse) -> str:
    attribute = use.attribute
    value = escape(attribute.range)
    if attribute.kind is Kind.RELATIONSHIP and attribute.range != "any":
        value = f'<a href="#{value}">{value}</a>'
    if attribute.unit:
        value += f" in {escape(attribute.unit.label)}"
    needed = {"hard": "required", "expected": "expected", None: ""}[use.required]
    cells = (f"<code>{attribute.name}</code>", str(attribute.kind), value, needed, escape(attribute.comment))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def page_policy(sign_out: str | None = None) -> str:
    """Return the Content-Security-Policy of pages: their style, links and forms of our own, and nothing else.

    The form that signs out leads on to the issuer, whose URL is given; browsers hold that against the policy too.
    """
    parts = urlsplit(sign_out or "")
    forms = f"'self' {parts.scheme}://{parts.netloc}" if sign_out else "'self'"
    style = b64encode(sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
    )


def page(title: str, body: list[str]) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{''.join(body)}</main></body></html>"
    )
