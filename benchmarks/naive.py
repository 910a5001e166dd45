"""The application that one would write first: FastAPI, SQLAlchemy ORM and pyld on SQLite.

It keeps to what the benchmark asks: no tenants, errors, history, change log or limits, and a context of a few terms
where a real one has hundreds. `python -m benchmarks.naive PORT FILE` serves the database FILE.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pyld import jsonld
from sqlalchemy import JSON, ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

CORE = "https://uri.etsi.org/ngsi-ld/"
CONTEXT: dict[str, Any] = {
    "@vocab": CORE,
    "id": "@id",
    "type": "@type",
    "object": {"@type": "@id"},
    "coordinates": {"@container": "@list"},
}


class Base(DeclarativeBase):
    """The declarative base of the two tables."""


class Entity(Base):
    """An entity; its attributes are rows of their own."""

    __tablename__ = "entity"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(index=True)
    attributes: Mapped[list[Attribute]] = relationship(lazy="selectin", cascade="all, delete-orphan")


class Attribute(Base):
    """One attribute in expanded JSON-LD, with its number or text beside it for queries."""

    __tablename__ = "attribute"
    entity_id: Mapped[str] = mapped_column(ForeignKey("entity.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[float | None] = mapped_column(index=True)
    text: Mapped[str | None] = mapped_column(index=True)
    expanded: Mapped[list[Any]] = mapped_column(JSON)


def expand(document: dict[str, Any]) -> Entity:
    """Turn a compact entity into its row and those of its attributes."""
    node = jsonld.expand(document, {"expandContext": CONTEXT})[0]
    entity = Entity(id=node.pop("@id"), type=node.pop("@type")[0])
    for name, expanded in node.items():
        value = expanded[0].get(f"{CORE}value", [{}])[0].get("@value")
        number, text = (None, value) if isinstance(value, str) else (value, None)
        entity.attributes.append(Attribute(name=name, number=number, text=text, expanded=expanded))
    return entity


def compact(entity: Entity) -> Any:
    """Turn an entity's rows into the document that clients read."""
    node = {"@id": entity.id, "@type": [entity.type]} | {row.name: row.expanded for row in entity.attributes}
    return jsonld.compact(node, CONTEXT)


def application(database: str) -> FastAPI:
    """Make the application on a SQLite file."""
    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    app = FastAPI()

    @app.get("/ngsi-ld/v1/entities/{entity_id}")
    def retrieve(entity_id: str) -> Any:
        with Session(engine) as session:
            return compact(session.get_one(Entity, entity_id))

    @app.post("/ngsi-ld/v1/entities", status_code=201)
    def create(document: dict[str, Any]) -> None:
        create_batch([document])

    @app.post("/ngsi-ld/v1/entityOperations/create", status_code=201)
    def create_batch(documents: list[dict[str, Any]]) -> list[str]:
        with Session(engine) as session, session.begin():
            session.add_all([expand(document) for document in documents])
        return [document["id"] for document in documents]

    @app.patch("/ngsi-ld/v1/entities/{entity_id}/attrs/{name}", status_code=204)
    def patch(entity_id: str, name: str, fragment: dict[str, Any]) -> None:
        with Session(engine) as session, session.begin():
            old = session.get_one(Attribute, (entity_id, CORE + name))
            new = expand({"id": entity_id, "type": "Any", name: fragment | {"type": "Property"}}).attributes[0]
            old.expanded, old.number = [old.expanded[0] | new.expanded[0]], new.number

    @app.get("/ngsi-ld/v1/entities")
    def query(type: str, q: str, limit: int) -> Any:
        above, equal = q.split(";")
        (number, bound), (text, wanted) = above.split(">"), equal.split("==")
        matching = select(Entity).where(
            Entity.type == CORE + type,
            Entity.attributes.any((Attribute.name == CORE + number) & (Attribute.number > float(bound))),
            Entity.attributes.any((Attribute.name == CORE + text) & (Attribute.text == wanted.strip('"'))),
        )
        with Session(engine) as session:
            return [compact(entity) for entity in session.scalars(matching.order_by(Entity.id).limit(limit))]

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning")
