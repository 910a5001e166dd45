"""The mechanical SHACL shapes: what follows from the model alone, one file a domain.

For an attribute `a` of a class `C` there are these shapes, each with an IRI of its own in the shapes namespace:

    C-a           the form of each instance: its kind, and in C-a-value, C-a-unit and C-a-observedAt its value, unit and
                  time; cardinality is counted inside the instance, hence per datasetId (decision 27)
    C-a-present   a hard attribute (Violation) or an expected one (Warning) is there
    C-a-limits    bounds, lengths and pattern, with the severity that the model gives
    C-a-listed    the value is in its value list (Warning: lists of other systems grow)

Each names the rule of the model that it is there for (shapes/rules.ttl).

A list, an interval and a point have shapes for their parts too: C-a-items, C-a-begin, C-a-latitude and so on.

Values are reached through NGSI-LD's RDF: ngsi-ld:hasValue, hasObject, hasVocab, hasLanguageMap and hasValueList.
"""

from __future__ import annotations

from collections.abc import Iterator

from ontology.generate.contexts import MEMBERS
from ontology.generate.turtle import compact, number, prefixes, subject, text
from ontology.model import Attribute, AttributeUse, EntityType, Kind, Limits, Model, Unit

_MEMBER = {
    Kind.PROPERTY: "ngsi-ld:hasValue",
    Kind.GEO_PROPERTY: "ngsi-ld:hasValue",
    Kind.RELATIONSHIP: "ngsi-ld:hasObject",
    Kind.VOCAB_PROPERTY: "ngsi-ld:hasVocab",
    Kind.LANGUAGE_PROPERTY: "ngsi-ld:hasLanguageMap",
    Kind.LIST_PROPERTY: "ngsi-ld:hasValueList",
}
_NUMBER = "sh:or ( [ sh:datatype xsd:integer ] [ sh:datatype xsd:decimal ] [ sh:datatype xsd:double ] )"
_VALUE_FORM = {
    "string": ["sh:datatype xsd:string"],
    "number": [_NUMBER],
    "integer": ["sh:datatype xsd:integer"],
    "boolean": ["sh:datatype xsd:boolean"],
    "date": [
        "sh:or ( [ sh:datatype xsd:string ] [ sh:datatype ngsi-ld:Date ] [ sh:datatype xsd:date ] )",
        'sh:pattern "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"',
    ],
    "dateTime": [
        "sh:or ( [ sh:datatype xsd:string ] [ sh:datatype ngsi-ld:DateTime ] [ sh:datatype xsd:dateTime ] )",
        'sh:pattern "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,6})?Z$"',
    ],
    "anyURI": [
        "sh:or ( [ sh:datatype xsd:string ] [ sh:datatype xsd:anyURI ] [ sh:nodeKind sh:IRI ] )",
        'sh:pattern "^[A-Za-z][A-Za-z0-9+.-]*:"',
    ],
    "PostalAddress": ["sh:nodeKind sh:BlankNode"],
    "ContactPoint": ["sh:nodeKind sh:BlankNode"],
    "OpeningHoursSpecification": ["sh:nodeKind sh:BlankNode"],
    "PhaseValues": ["sh:nodeKind sh:BlankNode"],
    "Interval": ["sh:nodeKind sh:BlankNode"],
}
_PLAIN_NAME = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "text",
    "anyURI": "a URI",
}
#: Values that JSON may write as an array although they are one value.
_ARRAYS = ("JSON", "OpeningHoursSpecification")
#: The rule of a shape by the last part of its name; -value and -limits depend on the attribute.
_RULES = {
    "": "C01", "present": "C01", "value": "C02", "items": "C02", "begin": "C02", "end": "C02", "unit": "C03",
    "limits": "C05", "observedAt": "C06", "listed": "C08", "longitude": "C09", "latitude": "C09",
}  # fmt: skip
#: Shapes that a rule of its own asks for.
_OWN_RULES = {
    "ChargeDetailRecord-totalCost-limits": "C20",
    "ChargingSession-duration-limits": "C13",
    "ChargingSession-totalCost-limits": "C20",
    "ChargingStation-ocppEndpoint-limits": "C07",
    "ChargingStation-simIccid-limits": "C07",
    "Dataset-conformsTo-present": "C50",
    "Dataset-containsPersonalData-present": "C50",
    "Dataset-licence-present": "C50",
    "Dataset-retentionPeriod-limits": "C50",
    "EVSE-evseId-limits": "C07",
    "ParkingSite-availableSpotNumber-limits": "C44",
    "ParkingViolation-evidence-present": "C47",
}
#: Clocks of devices may be five minutes ahead.
_TIME = ("vs:notAfterNow 300", 'vs:notBefore "2010-01-01"')
_PHASES = "[ sh:alternativePath ( cim:L1 cim:L2 cim:L3 ) ]"


def documents(model: Model) -> dict[str, str]:
    """Return the Turtle text of the shapes by domain; "cim" holds those of the sub-properties."""
    result = {"cim": prefixes() + "\n" + "\n".join(_sub_properties(model))}
    for domain in model.domains.values():
        blocks = [block for class_ in model.classes_of(domain.name) for block in _class(model, class_)]
        result[domain.name] = prefixes() + "\n" + "\n".join(blocks)
    return result


def _class(model: Model, class_: EntityType) -> Iterator[str]:
    shapes: list[tuple[str, list[str]]] = []
    for use in class_.attributes.values():
        if use.inverse_of is None:
            for name, lines in _use(model, class_.name, use):
                shapes.append((name, [*lines, f"vs:rule vs:{_rule(name, use)}"]))
    top = [name for name, _ in shapes if not name.endswith(("-value", "-unit", "-observedAt"))]
    yield subject(
        f"vs:{class_.name}",
        [
            "a sh:NodeShape",
            f"sh:targetClass cim:{class_.name}",
            f"rdfs:label {text(class_.label)}@en",
            f"sh:property {' , '.join(top)}",
        ],
    )
    for name, lines in shapes:
        yield subject(name, ["a sh:PropertyShape", *lines])


def _rule(name: str, use: AttributeUse) -> str:
    """Return the rule that a shape of an attribute is there for."""
    own = _OWN_RULES.get(name.removeprefix("vs:"))
    if own is not None:
        return own
    _, _, part = name.partition(f"-{use.attribute.name}")
    attribute, limits = use.attribute, use.limits
    if part == "-value" and attribute.kind is Kind.RELATIONSHIP:
        return "C01"
    if part == "-limits" and attribute.unit and attribute.unit.unit_code == "P1":
        return "C04" if (limits.minimum, limits.maximum) == (0, 100) else "C05"
    return _RULES[part.removeprefix("-")]


def _use(model: Model, class_name: str, use: AttributeUse) -> Iterator[tuple[str, list[str]]]:
    name = f"vs:{class_name}-{use.attribute.name}"
    nested = dict(_form(name, use))
    yield (
        name,
        [
            f"sh:path {compact(use.attribute.iri)}",
            f"sh:class ngsi-ld:{use.attribute.kind}",
            f"sh:property {' , '.join(nested)}",
            f"sh:message {text(f'{use.attribute.name} must be a {use.attribute.kind}')}@en",
        ],
    )
    yield from nested.items()
    if use.required:
        yield f"{name}-present", _present(use)
    bounds = _bounds(use.limits)
    if bounds:
        yield f"{name}-limits", _limits(use, bounds)
    yield from _parts(name, use)
    scheme = use.limits.scheme or use.attribute.scheme
    if scheme:
        yield f"{name}-listed", _listed(model, use.attribute, scheme)


def _form(name: str, use: AttributeUse) -> Iterator[tuple[str, list[str]]]:
    attribute = use.attribute
    yield f"{name}-value", _value(attribute, single=not use.many, geometries=use.limits.geometries)
    if attribute.unit:
        yield f"{name}-unit", _unit(attribute.name, attribute.unit)
    if use.changes == "telemetry":
        message = f"{attribute.name} is telemetry: each value needs its observedAt, after 2010 and not in the future"
        yield (
            f"{name}-observedAt",
            ["sh:path ngsi-ld:observedAt", "sh:minCount 1", "sh:maxCount 1", *_TIME, f"sh:message {text(message)}@en"],
        )


def _value(attribute: Attribute, single: bool, geometries: tuple[str, ...] = ()) -> list[str]:
    lines = [f"sh:path {_MEMBER[attribute.kind]}", "sh:minCount 1"]
    kept_together = attribute.kind is Kind.LANGUAGE_PROPERTY or attribute.range in _ARRAYS
    if single and not kept_together:
        lines.append("sh:maxCount 1")
    one = "one value, " if single and not kept_together else ""
    if attribute.kind is Kind.RELATIONSHIP:
        lines.append("sh:nodeKind sh:IRI")
        if attribute.range != "any":
            lines.append(f"sh:pattern {text(f'^urn:ngsi-ld:{attribute.range}:')}")
        what = "an entity" if attribute.range == "any" else f"an entity of type {attribute.range}"
    elif attribute.kind is Kind.GEO_PROPERTY:
        lines.append("sh:or ( " + " ".join(f"[ sh:class geojson:{g} ]" for g in geometries) + " )")
        what = " or ".join(geometries)
    elif attribute.kind is Kind.VOCAB_PROPERTY:
        lines.append("sh:nodeKind sh:IRI")
        what = "a concept"
    elif attribute.kind is Kind.LANGUAGE_PROPERTY:
        lines.append("sh:or ( [ sh:datatype rdf:langString ] [ sh:datatype xsd:string ] )")
        what = "text by language"
    elif attribute.kind is Kind.LIST_PROPERTY:
        what = "a list"
    else:
        lines += _VALUE_FORM.get(attribute.range, [])
        what = _PLAIN_NAME.get(attribute.range, f"a value of type {attribute.range}")
    return [*lines, f"sh:message {text(f'{attribute.name} must have {one}{what}')}@en"]


def _unit(name: str, unit: Unit) -> list[str]:
    if unit.unit_code:
        what = "is a plain number" if unit.symbol == "1" else f"is in {unit.symbol}"
        message = f"{name} {what}: unitCode must be {unit.unit_code}"
        return [
            "sh:path ngsi-ld:unitCode",
            f"sh:hasValue {text(unit.unit_code)}",
            "sh:maxCount 1",
            f"sh:message {text(message)}@en",
        ]
    if unit.monetary:
        message = f"{name} is an amount of money: the sub-property currency should name its ISO 4217 code"
        return [
            "sh:path ( cim:currency ngsi-ld:hasValue )",
            "sh:minCount 1",
            "sh:maxCount 1",
            "sh:severity sh:Warning",
            f"sh:message {text(message)}@en",
        ]
    message = f"{name} is in {unit.symbol}: the sub-property unit must be {unit.ucum}"
    return [
        "sh:path ( cim:unit ngsi-ld:hasValue )",
        f"sh:hasValue {text(unit.ucum or '')}",
        "sh:maxCount 1",
        f"sh:message {text(message)}@en",
    ]


def _present(use: AttributeUse) -> list[str]:
    name, least = use.attribute.name, max(use.min_count, 1)
    path = compact(use.attribute.iri)
    if least > 1:
        path = f"( {path} {_MEMBER[use.attribute.kind]} )"
    hard = use.required == "hard"
    message = f"{name} is {'required' if hard else 'expected'}" + (f", at least {least} values" if least > 1 else "")
    return [
        f"sh:path {path}",
        f"sh:minCount {least}",
        f"sh:severity sh:{'Violation' if hard else 'Warning'}",
        f"sh:message {text(message)}@en",
    ]


def _bounds(limits: Limits) -> list[str]:
    bounds = {
        "minInclusive": limits.minimum,
        "minExclusive": limits.exclusive_minimum,
        "maxInclusive": limits.maximum,
        "minLength": limits.min_length,
        "maxLength": limits.max_length,
    }
    lines = [f"sh:{facet} {number(bound)}" for facet, bound in bounds.items() if bound is not None]
    return lines + ([f"sh:pattern {text(limits.pattern)}"] if limits.pattern else [])


def _limits(use: AttributeUse, bounds: list[str]) -> list[str]:
    attribute, limits = use.attribute, use.limits
    steps = [compact(attribute.iri), _MEMBER[attribute.kind]]
    if attribute.kind is Kind.LIST_PROPERTY:
        # The length of a list is the number of its cells; rdf:nil, reached last, is one more.
        bounds = [f"sh:minCount {(limits.min_length or 0) + 1}", f"sh:maxCount {(limits.max_length or 0) + 1}"]
        steps.append("[ sh:zeroOrMorePath rdf:rest ]")
    elif attribute.range == "PhaseValues":
        steps.append(_PHASES)
    return [
        f"sh:path ( {' '.join(steps)} )",
        *bounds,
        f"sh:severity sh:{limits.severity}",
        f"sh:message {text(f'{attribute.name} must {words(limits, attribute.unit)}')}@en",
    ]


def words(limits: Limits, unit: Unit | None = None) -> str:
    """Return the bounds of a value in words that follow "must"."""
    symbol = f" {unit.symbol}" if unit and unit.symbol not in ("1", "ccy") else ""
    low, over, high = limits.minimum, limits.exclusive_minimum, limits.maximum
    parts = []
    if low is not None and high is not None:
        parts.append(f"lie between {number(low)} and {number(high)}{symbol}")
    elif low is not None:
        parts.append(f"be {number(low)}{symbol} or more")
    if over is not None:
        parts.append(f"be over {number(over)}{symbol}" + (f" and at most {number(high)}{symbol}" if high else ""))
    if limits.min_length is not None or limits.max_length is not None:
        bounds = [str(n) for n in (limits.min_length, limits.max_length) if n is not None]
        parts.append(f"have a length of {' to '.join(bounds)}")
    if limits.pattern:
        parts.append(f"match {limits.pattern}")
    return " and ".join(parts)


def _parts(name: str, use: AttributeUse) -> Iterator[tuple[str, list[str]]]:
    """Yield the shapes of what a value is made of: the items of a list, the ends of an interval, a position."""
    attribute = use.attribute
    value = f"{compact(attribute.iri)} {_MEMBER[attribute.kind]}"
    if attribute.kind is Kind.LIST_PROPERTY:
        message = f"each item of {attribute.name} must be a number"
        path = f"sh:path ( {value} [ sh:zeroOrMorePath rdf:rest ] rdf:first )"
        yield f"{name}-items", [path, _NUMBER, f"sh:message {text(message)}@en"]
    if attribute.range == "Interval":
        for part, iri in MEMBERS["Interval"].items():
            message = f"{attribute.name} must have one {part}"
            path = f"sh:path ( {value} {compact(iri)} )"
            yield f"{name}-{part}", [path, "sh:minCount 1", "sh:maxCount 1", f"sh:message {text(message)}@en"]
    if use.limits.geometries == ("Point",):
        yield from _position(name, attribute)


def _position(name: str, attribute: Attribute) -> Iterator[tuple[str, list[str]]]:
    start = f"{compact(attribute.iri)} ngsi-ld:hasValue geojson:coordinates"
    parts = (("longitude", "first", "rdf:first", 180), ("latitude", "second", "rdf:rest rdf:first", 90))
    for part, place, rest, bound in parts:
        message = f"the {part} comes {place} and should lie between -{bound} and {bound}"
        yield (
            f"{name}-{part}",
            [
                f"sh:path ( {start} {rest} )",
                f"sh:minInclusive -{bound}",
                f"sh:maxInclusive {bound}",
                "sh:severity sh:Warning",
                f"sh:message {text(message)}@en",
            ],
        )


def _listed(model: Model, attribute: Attribute, scheme: str) -> list[str]:
    concepts = model.schemes[scheme].concepts.values()
    if attribute.kind is Kind.VOCAB_PROPERTY:
        members = " ".join(f"cim:{c.iri.rpartition('#')[2]}" for c in concepts)
    else:
        members = " ".join(text(c.notation) for c in concepts)
    return [
        f"sh:path ( {compact(attribute.iri)} {_MEMBER[attribute.kind]} )",
        f"sh:in ( {members} )",
        "sh:severity sh:Warning",
        f"sh:message {text(f'{attribute.name} should be a value of the scheme {scheme}')}@en",
    ]


def _sub_properties(model: Model) -> Iterator[str]:
    for attribute in model.attributes.values():
        if not attribute.sub_property:
            continue
        name = f"vs:{attribute.name}"
        shapes = {f"{name}-value": [*_value(attribute, single=True), "vs:rule vs:C02"]}
        if attribute.scheme:
            _, *listed = _listed(model, attribute, attribute.scheme)
            shapes[f"{name}-listed"] = [f"sh:path {_MEMBER[attribute.kind]}", *listed, "vs:rule vs:C08"]
        yield subject(
            name,
            [
                "a sh:NodeShape",
                f"sh:targetObjectsOf {compact(attribute.iri)}",
                f"sh:class ngsi-ld:{attribute.kind}",
                f"sh:property {' , '.join(shapes)}",
                f"sh:message {text(f'{attribute.name} must be a {attribute.kind}')}@en",
                "vs:rule vs:C01",
            ],
        )
        for shape, lines in shapes.items():
            yield subject(shape, ["a sh:PropertyShape", *lines])
