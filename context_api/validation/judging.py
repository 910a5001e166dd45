"""A write judged before it is stored: what its entity breaks is refused, or told in the change log (decision 14)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson
import structlog

from context_api.intervals import every
from context_api.settings import ValidationSettings
from context_api.storage.port import Change, Duplicate, Store, Tenant
from context_api.validation.documents import ShapeDocument, read_document
from context_api.validation.gathering import Asked, gather, surrounded_again
from context_api.validation.modes import Mode, TenantModes
from context_api.validation.tables import Stored, ValidationTables
from context_api.validation.telling import told_of
from ngsild.entity import Entity
from ngsild.problems import BadRequestData, Conflict, NotAcceptable, Problem
from ngsild.rdf import reference
from shapes import NAMESPACE, model_shapes
from shapes.compiler import Shapes
from shapes.report import as_json, as_line, rule_of
from shapes.shape import Result
from shapes.surroundings import Surroundings, SurroundingShapes, model_surroundings
from shapes.terms import iri

log = structlog.get_logger(__name__)

_REFRESH_SECONDS = 1.0
#: Changes that are judged before other requests have their turn: some ten milliseconds.
_A_TURN = 250
_CONFORMS = "[]"
#: What stands for a value that RDF cannot express, and so no shape can judge.
_INEXPRESSIBLE = f"{NAMESPACE}Inexpressible"


@dataclass(frozen=True, slots=True)
class Judged:
    """A change with what was found in its entity."""

    change: Change
    refusal: BadRequestData | None = None
    """Why it must not be stored: the mode is enforce, and it brings in a violation, or names the attribute of one."""
    about: Surroundings | None = None
    """What it was judged by beside the entity itself."""

    def accepted(self) -> Change:
        """Return the change; raise what refuses it."""
        if self.refusal is not None:
            raise self.refusal
        return self.change


class Validation:
    """Judges changes by the shapes of the model and of their tenant."""

    def __init__(self, store: Store, settings: ValidationSettings) -> None:
        self._store = store
        self._tables = ValidationTables(store.records)
        self._settings = settings
        self._default = Mode(settings.validation)
        self._stored = Stored({}, {})
        self._seen = -1
        self._shapes: dict[int, Shapes] = {}
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is stored and, where others may change it, look for changes from then on."""
        await self._tables.epoch.start()
        await self.refresh()
        if self._store.shared:
            self._task = asyncio.create_task(
                every(_REFRESH_SECONDS, self.refresh, "modes and shapes are out of step with the database")
            )

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Read anew what is stored, unless nothing changed since."""
        # One after the other: what was read first must not take the place of what was read last.
        async with self._refreshing:
            changes = await self._tables.epoch.current()
            if changes == self._seen:
                return
            stored = await self._tables.load()
            shapes = {}
            for tenant, documents in stored.documents.items():
                same = documents == self._stored.documents.get(tenant)
                shapes[tenant] = self._shapes[tenant] if same else await asyncio.to_thread(_together, documents)
            self._stored, self._shapes, self._seen = stored, shapes, changes

    # What tenants say

    def modes(self, tenant: Tenant) -> TenantModes:
        """Return what a tenant chose."""
        return self._stored.modes.get(tenant.id, TenantModes())

    @property
    def default(self) -> Mode:
        """The mode of tenants that chose none."""
        return self._default

    async def set_modes(self, tenant: Tenant, modes: TenantModes) -> None:
        """Let writes of a tenant be judged so from now on."""
        await self._tables.save_modes(tenant, modes)
        await self.refresh()

    def documents(self, tenant: Tenant) -> Sequence[ShapeDocument]:
        """Return the documents of a tenant that are in force, by name."""
        return self._stored.documents.get(tenant.id, [])

    async def versions(self, tenant: Tenant, name: str) -> list[tuple[int, int, bool]]:
        """Return (version, moment, removed) of every version of a document, the newest first."""
        return await self._tables.versions(tenant, name)

    async def version(self, tenant: Tenant, name: str, version: int) -> ShapeDocument | None:
        """Return a version of a document, None where there is none."""
        return await self._tables.version(tenant, name, version)

    async def put_document(self, tenant: Tenant, name: str, turtle: str, now: int) -> bool:
        """Put a document in force; tell whether it is a new one.

        Raises:
            BadRequestData: it is refused, with the reason.
            Conflict: another version came at the same time.
        """
        present = {document.name: document for document in self.documents(tenant)}
        before = present.get(name)
        if before is not None and before.turtle == turtle:
            return False
        limit = self._settings.max_shape_documents
        if before is None and len(present) >= limit:
            raise BadRequestData(f"{name}: {limit} documents of shapes are in force already, which is the limit")
        await asyncio.to_thread(read_document, turtle)
        await self._add(tenant, name, turtle, now)
        return before is None

    async def remove_document(self, tenant: Tenant, name: str, now: int) -> None:
        """Take a document out of force; its versions are kept."""
        await self._add(tenant, name, None, now)

    async def _add(self, tenant: Tenant, name: str, turtle: str | None, now: int) -> None:
        versions = await self._tables.versions(tenant, name)
        version = versions[0][0] + 1 if versions else 1
        try:
            await self._tables.add(tenant, name, version, turtle, now)
        except Duplicate:
            raise Conflict(f"{name}: another version came at the same time") from None
        await self.refresh()

    # Judging

    async def judge(self, tenant: Tenant, changes: Sequence[Change]) -> list[Judged]:
        """Judge changes of different entities, also by their surroundings where the mode is enforce."""
        asked = {at: each for at, change in enumerate(changes) if (each := self._asked(tenant, change)) is not None}
        about: dict[int, Surroundings] = {}
        if asked:
            # What is written together may refer to each other.
            beside = {change.after.id: change.after for change in changes if change.after is not None}
            found = await gather(self._store, tenant, list(asked.values()), max(changes[at].at for at in asked), beside)
            about = dict(zip(asked, found, strict=True))
        judged: list[Judged] = []
        for at, change in enumerate(changes):
            if at and at % _A_TURN == 0:
                await asyncio.sleep(0)
            judged.append(self.judge_again(tenant, change, about.get(at)))
        return judged

    def _asked(self, tenant: Tenant, change: Change) -> Asked | None:
        """Return what must be read before a change can be refused; what is stored anyway is looked at afterwards."""
        after = change.after
        if after is None or after is change.before or self.mode(tenant, after.types) is not Mode.ENFORCE:
            return None
        needs = _refusing().needs(after.types, change.touched)
        return Asked(after, needs, change.touched) if needs else None

    def mode(self, tenant: Tenant, types: Iterable[str]) -> Mode:
        """Return how entities of these types are judged."""
        modes = self._stored.modes.get(tenant.id)
        return self._default if modes is None else modes.of(types, self._default)

    def judge_again(self, tenant: Tenant, change: Change, about: Surroundings | None) -> Judged:
        """Judge a change with the surroundings that its entity had a moment ago."""
        after = change.after
        if after is None or after is change.before:
            return Judged(change)
        mode = self.mode(tenant, after.types)
        if mode is Mode.OFF:
            return Judged(change)
        shapes = self._shapes.get(tenant.id) or model_shapes()
        try:
            results = _results(shapes, after)
        except Exception:
            if mode is Mode.ENFORCE:
                raise
            # A rule that fails is no reason to refuse what is stored whatever the rules say.
            log.exception("an entity could not be judged", entity=after.id)
            return Judged(change)
        if mode is Mode.ENFORCE and (results or about is not None):
            refused = _refused(shapes, change, results)
            if about is not None:
                refused = [*refused, *_refused_around(change, surrounded_again(about, after))]
            if refused:
                return Judged(change, self._refusal(after, refused), about)
        return Judged(replace(change, report=self._report(after, results) if results else _CONFORMS), None, about)

    def _report(self, entity: Entity, results: Sequence[Result]) -> str:
        return orjson.dumps(told_of(entity, results, self._settings.max_report)).decode()

    def _refusal(self, entity: Entity, refused: Sequence[Result]) -> BadRequestData:
        shown = [as_json(entity.id, result) for result in refused[: self._settings.max_report]]
        first = refused[0]
        rule = rule_of(first)
        parts = [as_line(first)] + ([] if rule is None else [rule.explanation])
        if len(refused) > 1:
            parts.append(f"And {len(refused) - 1} more, in validationReport.")
        report = {"conforms": False, "resultCount": len(refused), "results": shown}
        return BadRequestData(f"{entity.id}: " + " ".join(parts), validationReport=report)


def _together(documents: Sequence[ShapeDocument]) -> Shapes:
    """Return the shapes of the model and those of documents, in force together."""
    targeted = list(model_shapes().targeted)
    for document in documents:
        try:
            targeted += read_document(document.turtle)
        except Problem as problem:
            # It was taken in by another version of Voltweave, which knew more.
            log.error("stored shapes are not in force", document=document.name, reason=str(problem))
    return Shapes(targeted)


@cache
def _refusing() -> SurroundingShapes:
    """Return the rules across entities that can refuse a write: nothing need be read for what only warns."""
    return SurroundingShapes(shape for shape in model_surroundings().shapes if shape.severity == "Violation")


def _results(shapes: Shapes, entity: Entity) -> list[Result]:
    try:
        return shapes.judge(entity)
    except NotAcceptable as problem:
        focus = reference(entity.id) or iri(entity.id)
        return [Result(focus, None, _INEXPRESSIBLE, "Violation", iri(_INEXPRESSIBLE), str(problem))]


def _refused(shapes: Shapes, change: Change, results: Sequence[Result]) -> list[Result]:
    """Return the violations that the change brings in, or that lie on attributes that it names."""
    violations = [result for result in results if result.severity == "Violation"]
    before = change.before
    if before is None or not violations:
        return violations
    old = [result for result in violations if result.attribute not in change.touched]
    if not old:
        return violations
    known = {_place(result) for result in _results(shapes, before)}
    kept = {_place(result) for result in old} & known
    return [result for result in violations if result.attribute in change.touched or _place(result) not in kept]


def _refused_around(change: Change, about: Surroundings) -> list[Result]:
    """Return the same of what the surroundings of the entity make a violation."""
    violations = _refusing().judge(about)
    before = change.before
    if before is None or all(result.attribute in change.touched for result in violations):
        return violations
    known = {_place(result) for result in _refusing().judge(surrounded_again(about, before))}
    return [result for result in violations if result.attribute in change.touched or _place(result) not in known]


def _place(result: Result) -> tuple[Any, ...]:
    return result.shape, result.component, result.attribute, result.dataset
