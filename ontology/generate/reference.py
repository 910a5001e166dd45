"""The reference pages of the model: an index, one page a domain, one for the value lists and one for the units."""

from __future__ import annotations

from collections.abc import Iterator

from ontology.generate.turtle import number
from ontology.model import Attribute, AttributeUse, EntityType, Kind, Limits, Match, Model

_NOTE = "<!-- Generated from ontology/*.ttl by `make model`. Change those files, not this page. -->\n"
_CHANGES = {"static": "stays", "onChange": "on change", "telemetry": "telemetry", "derived": "derived"}


def documents(model: Model) -> dict[str, str]:
    """Return the Markdown text of every page by its file name."""
    pages = {"index.md": _index(model), "schemes.md": _schemes(model), "units.md": _units(model)}
    for domain in model.domains.values():
        parts = [f"# {domain.label}\n", domain.comment + "\n"]
        parts += ["\n".join(_class(class_)) for class_ in model.classes_of(domain.name)]
        pages[f"{domain.name}.md"] = _NOTE + "\n" + "\n".join(parts)
    return pages


def _index(model: Model) -> str:
    lines = [
        _NOTE,
        "# The common information model",
        "",
        f"Version {model.version}: {len(model.classes)} entity types, {len(model.attributes)} attributes. "
        "An attribute name means one thing wherever it occurs: one kind, one unit, one target or datatype.",
        "",
        "The namespace is `https://w3id.org/voltweave/cim#`; the @context is",
        "`https://w3id.org/voltweave/contexts/cim.jsonld`, which every Voltweave resolves without a network call.",
        "`location`, `status`, `description` and `title` are terms of NGSI-LD itself and keep its IRIs.",
        "",
        "| domain | what | entity types |",
        "|---|---|---|",
    ]
    for domain in model.domains.values():
        names = ", ".join(f"[{c.name}]({domain.name}.md#{c.name.lower()})" for c in model.classes_of(domain.name))
        lines.append(f"| [{domain.label}]({domain.name}.md) | {domain.comment} | {names} |")
    lines += ["", "[Value lists](schemes.md), [units](units.md).", "", "## How to read the tables", ""]
    lines += [
        "- **needed**: *required*, its absence is a violation; *expected*, its absence is a warning.",
        "- **many**: an entity may hold several values; otherwise one for each `datasetId`.",
        "- **changes**: *telemetry* needs `observedAt` on every value, and a late value goes to history only; "
        "*derived* is made by the platform.",
        "- A link is stored on one side only. The other side is marked *query*: ask for the entities that point here.",
        "- Every telemetry value may carry the sub-properties below.",
        "",
        "## Sub-properties",
        "",
        "| name | kind | value | meaning |",
        "|---|---|---|---|",
    ]
    for attribute in model.attributes.values():
        if attribute.sub_property:
            lines.append(f"| `{attribute.name}` | {attribute.kind} | {_range(attribute)} | {attribute.comment} |")
    return "\n".join(lines) + "\n"


def _class(class_: EntityType) -> Iterator[str]:
    yield f"## {class_.name}\n"
    yield f"{class_.comment}\n"
    yield f"Id: `{class_.identifier}`. {_alignment(class_.matches, class_.corresponds_to)}\n"
    if class_.limit_severity != "Violation":
        yield f"A value outside its limits is a {class_.limit_severity.lower()} here.\n"
    yield "| attribute | kind | value | needed | changes | limits | meaning |"
    yield "|---|---|---|---|---|---|---|"
    for use in class_.attributes.values():
        attribute = use.attribute
        personal = " (personal)" if use.personal else ""
        yield (
            f"| `{attribute.name}`{personal} | {attribute.kind} | {_range(attribute)}{' (many)' if use.many else ''} "
            f"| {_needed(use)} | {_changes(use)} | {_escape(_limits(use))} | {attribute.comment} |"
        )
    yield ""


def _range(attribute: Attribute) -> str:
    if attribute.kind is Kind.RELATIONSHIP:
        return f"→ {attribute.range}"
    if attribute.kind is Kind.VOCAB_PROPERTY:
        return f"[{attribute.range}](schemes.md#{attribute.range.lower()})"
    if attribute.unit:
        symbol = "" if attribute.unit.symbol == "1" else f" in {attribute.unit.symbol}"
        return f"{attribute.range}{symbol}" if not attribute.unit.monetary else "amount of money"
    return attribute.range


def _needed(use: AttributeUse) -> str:
    if use.inverse_of:
        return "query"
    return {"hard": "required", "expected": "expected", None: ""}[use.required]


def _changes(use: AttributeUse) -> str:
    return _CHANGES[use.changes] + (f", {use.saving_step}" if use.saving_step else "")


def _limits(use: AttributeUse) -> str:
    limits = use.limits
    if use.inverse_of:
        return f"`{use.inverse_of}` of {use.attribute.range}"
    parts = list(_bounds(limits))
    if limits.step:
        parts.append(f"step {limits.step:g}")
    if limits.monotonic:
        parts.append("never falls" + (" within a day" if limits.monotonic == "withinDay" else ""))
    if limits.scheme:
        parts.append(f"[{limits.scheme}](schemes.md#{limits.scheme.lower()})")
    if limits.geometries:
        parts.append(" or ".join(limits.geometries))
    if limits.rule:
        parts.append(limits.rule)
    return "; ".join(parts)


def _bounds(limits: Limits) -> Iterator[str]:
    low, over, high = (
        None if bound is None else number(bound) for bound in (limits.minimum, limits.exclusive_minimum, limits.maximum)
    )
    if low and high:
        yield f"{low}..{high}"
    elif low:
        yield f">= {low}"
    elif over:
        yield f"> {over}" + (f", <= {high}" if high else "")
    if limits.min_length is not None or limits.max_length is not None:
        yield f"length {limits.min_length or 0}..{limits.max_length or ''}"
    if limits.pattern:
        yield f"`{limits.pattern}`"


def _alignment(matches: tuple[Match, ...], corresponds_to: tuple[str, ...]) -> str:
    found = [f"{m.relation} " + (f"<{m.iri}>" if m.iri.startswith("http") else f"`{m.iri}`") for m in matches]
    found += corresponds_to
    return f"Aligned with {', '.join(found)}." if found else ""


def _schemes(model: Model) -> str:
    lines = [_NOTE, "# Value lists", "", "Each is a SKOS concept scheme; the codes of other systems follow the value."]
    for scheme in model.schemes.values():
        lines += ["", f"## {scheme.name}", "", "| value | meaning | codes elsewhere |", "|---|---|---|"]
        for concept in scheme.concepts.values():
            codes = "; ".join(f"{system}: {', '.join(found)}" for system, found in concept.codes.items())
            meaning = concept.label + (f": {concept.definition}" if concept.definition else "")
            lines.append(f"| `{concept.notation}` | {_escape(meaning)} | {_escape(codes)} |")
    return "\n".join(lines) + "\n"


def _units(model: Model) -> str:
    lines = [
        _NOTE,
        "# Units",
        "",
        "The model fixes one unit for each attribute. `unitCode` repeats it; where UN/CEFACT has no code, the "
        "sub-property `unit` holds the UCUM code, and for money the sub-property `currency` holds the ISO 4217 code.",
        "",
        "| symbol | unit | unitCode | UCUM | IRI |",
        "|---|---|---|---|---|",
    ]
    for unit in model.units.values():
        ucum = f"`{unit.ucum}`" if unit.ucum else ""
        lines.append(f"| {unit.symbol} | {unit.label} | {unit.unit_code or ''} | {ucum} | <{unit.iri}> |")
    return "\n".join(lines) + "\n"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")
