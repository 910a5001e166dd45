"""What a hundred policies add to a retrieve and a query: three callers of one broker, in turns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
from joserfc.jwk import RSAKey

from benchmarks.client import Call, drive
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.targets import Target, databases, voltweave
from benchmarks.tokens import ISSUER, published, token_of

_POLICIES: Final = 100
_ENTITIES: Final = 2_000
_ATTRIBUTES: Final = 10
_PAGE: Final = 50
_ROUNDS: Final = 5
_REQUESTS: Final = {"retrieve": 6_000, "query of a page": 600}
_CONNECTIONS: Final = 16
_GOAL: Final = 1.15
_ENTITIES_PATH: Final = "/ngsi-ld/v1/entities"


def measure(options: Options) -> Iterator[Row]:
    """Yield CPU milliseconds a request of callers with a hundred policies, beside one who may do everything."""
    key = RSAKey.generate_key(2048)
    with (
        published(key) as place,
        tempfile.TemporaryDirectory() as folder,
        databases(Path(folder)) as found,
    ):
        for database in found:
            environment = {"VOLTWEAVE_ISSUERS": ISSUER, "VOLTWEAVE_JWKS_URLS": f"{ISSUER}={place}"}
            with voltweave(database, "--roles", "api", environment=environment) as target:
                yield from _callers(target, key)


def _callers(target: Target, key: RSAKey) -> Iterator[Row]:
    boss = _bearer(key, "platform-administrator")
    _fill(target, boss)
    callers = {"a policy for everything": boss}
    for name, made in (("by type", _by_type), ("by scope, of one type", _by_scope)):
        role = name.split(",")[0].replace(" ", "-")
        for number in range(_POLICIES):
            policy = _policy(f"{role}-{number}", role, made(number))
            answer = httpx.post(
                f"{target.url}/policies", json=policy, headers={"Authorization": f"Bearer {boss}"}, timeout=30
            )
            answer.raise_for_status()
        callers[f"{_POLICIES} policies {name}"] = _bearer(key, role)
    paths = {
        "retrieve": f"{_ENTITIES_PATH}/urn:ngsi-ld:Kind0:7",
        "query of a page": f"{_ENTITIES_PATH}?type=Kind0&q=a1%3E0&limit={_PAGE}",
    }
    for what, path in paths.items():
        rounds: dict[str, list[float]] = {name: [] for name in callers}
        for number in range(_ROUNDS + 1):
            order = [*callers.items()]
            for name, token in order[number % len(order) :] + order[: number % len(order)]:
                before = target.cpu_seconds()
                call = Call("GET", path, token=token)
                drive(target.url, repeat(call, _REQUESTS[what]), _CONNECTIONS, {200})
                rounds[name].append((target.cpu_seconds() - before) * 1000 / _REQUESTS[what])
        (without, base), *others = ((name, median(measured[1:])) for name, measured in rounds.items())
        for name, value in others:
            beside = {without: base, "goal": base * _GOAL}
            yield Row(f"{what}, {name}; {target.what}", value, "CPU ms", beside)


def _fill(target: Target, token: str) -> None:
    for start in range(0, _ENTITIES, 500):
        body = json.dumps([_entity(number) for number in range(start, start + 500)]).encode()
        call = Call("POST", "/ngsi-ld/v1/entityOperations/create", body, token=token)
        drive(target.url, iter([call]), 1, {201})


def _entity(number: int) -> dict[str, Any]:
    attributes = {f"a{each}": {"type": "Property", "value": number + each} for each in range(_ATTRIBUTES)}
    return {"id": f"urn:ngsi-ld:Kind0:{number}", "type": "Kind0", "scope": f"/site_{number % 200}"} | attributes


def _policy(name: str, role: str, refinements: list[dict[str, Any]]) -> dict[str, Any]:
    target = {"type": "AssetCollection", "refinement": refinements}
    permission = {"assignee": f"role:{role}", "action": "read", "target": target}
    return {"type": "Set", "name": name, "permission": [permission]}


def _by_type(number: int) -> list[dict[str, Any]]:
    """Return a policy for a type of its own; every third shows some attributes, every third asks for a value."""
    found = [_refinement("entityType", f"Kind{number}")]
    if number % 3 == 0:
        names = [f"https://uri.etsi.org/ngsi-ld/default-context/a{each}" for each in range(_ATTRIBUTES - 1)]
        found.append(_refinement("readableAttribute", names, "isAnyOf"))
    if number % 3 == 1:
        found.append(_refinement("q", "a1>0"))
    return found


def _by_scope(number: int) -> list[dict[str, Any]]:
    """Return a policy for the entities of one site."""
    return [_refinement("entityType", "Kind0"), _refinement("scopeQ", f"/site_{number}")]


def _refinement(left: str, right: Any, operator: str = "eq") -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _bearer(key: RSAKey, role: str) -> str:
    return token_of(key, sub=role, realm_access={"roles": [role]})
