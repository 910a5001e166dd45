"""The generator behind `make model`: from the Turtle files to everything that is derived from them.

Belongs here: one module for each kind of artefact, each a pure function from the model to text. `artefacts` lists them
all; `python -m ontology.generate` writes them. Output is deterministic, and a test compares it with the repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ontology import source
from ontology.generate import contexts, examples, reference, shacl
from ontology.model import build

REPOSITORY = Path(__file__).parents[2]
_KEPT = re.compile(r"ontology/contexts/cim-[0-9.]+\.jsonld")


class KeptVersionError(ValueError):
    """A published version of a context would change: raise owl:versionInfo in ontology/cim.ttl instead."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: {(type(self).__doc__ or '').strip()}")


def artefacts(folder: Path = source.FOLDER) -> dict[str, str]:
    """Return the text of every generated file by its path in the repository, from the Turtle files in a folder."""
    document = source.document(source.graph(folder))
    model = build(document)
    files = {
        "ontology/model.json": json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    }
    files |= {f"ontology/contexts/{name}.jsonld": text for name, text in contexts.documents(model).items()}
    files |= {f"ontology/examples/{name}.json": text for name, text in examples.documents(model).items()}
    files |= {f"shapes/generated/{name}.ttl": text for name, text in shacl.documents(model).items()}
    files |= {f"docs/reference/model/{name}": text for name, text in reference.documents(model).items()}
    return files


def write(files: Mapping[str, str], repository: Path = REPOSITORY) -> list[str]:
    """Write the files that changed and return their names; KeptVersionError, with nothing written, for a kept one."""
    present = {name: (repository / name).read_text("utf-8") for name in files if (repository / name).exists()}
    changed = [name for name, text in files.items() if present.get(name) != text]
    for name in changed:
        if name in present and _KEPT.fullmatch(name):
            raise KeptVersionError(name)
    for name in changed:
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], "utf-8")
    return changed
