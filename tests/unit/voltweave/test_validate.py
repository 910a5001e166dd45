"""`voltweave validate`: files, standard input, URLs; JSON, lines, JSON-LD, Turtle; text, JSON, SHACL's report."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rdflib import RDF, SH, Graph, Literal, Namespace

from shapes import NAMESPACE
from tests.unit.shapes.generated_entities import EXAMPLES
from tests.unit.voltweave.test_command_line import run
from voltweave.commands.validate import validate
from voltweave.problems import ExitCode, Refused

CAR = EXAMPLES["ElectricVehicle"]


def charged(percent: float, **members: Any) -> dict[str, Any]:
    found = copy.deepcopy(CAR) | members
    found["stateOfCharge"]["value"] = percent
    return found


def write(folder: Path, name: str, content: Any) -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


TURTLE = """
@prefix cim: <https://w3id.org/voltweave/cim#> .
<urn:ngsi-ld:EVSE:1> a cim:Evse ; cim:maximumPower [ a <https://uri.etsi.org/ngsi-ld/Property> ] .
<urn:ngsi-ld:EVSE:2> a cim:EVSE .
"""


@contextmanager
def served(content: bytes, status: int = 200) -> Iterator[str]:
    """Serve the same bytes at every path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_2264_percent_are_named_in_words(tmp_path: Path) -> None:
    ended = run("validate", write(tmp_path, "car.json", charged(2264)))
    assert ended.returncode == ExitCode.REJECTED
    assert "Violation: stateOfCharge must lie between 0 and 100 % (it is 2264)" in ended.stdout
    assert "[C04 ElectricVehicle-stateOfCharge-limits]" in ended.stdout
    explained, counted = ended.stderr.splitlines()
    assert explained.startswith("C04 Percentage: A percentage such as a state of charge lies below 0 or above 100")
    assert explained.endswith("(checkSensor)")
    assert counted == "1 entity: 1 violation"


def test_what_conforms_ends_well(tmp_path: Path) -> None:
    files = [write(tmp_path, f"{name}.json", example) for name, example in EXAMPLES.items()]
    ended = run("validate", *files)
    assert (ended.returncode, ended.stdout) == (ExitCode.DONE, "")
    assert ended.stderr.strip() == f"{len(files)} entities: all conforms"


def test_a_warning_is_told_and_is_no_failure(tmp_path: Path) -> None:
    battery = copy.deepcopy(EXAMPLES["Battery"])
    battery["stateOfCharge"]["value"] = 2264
    ended = run("validate", write(tmp_path, "battery.json", battery))
    assert ended.returncode == ExitCode.DONE
    assert "Warning: stateOfCharge" in ended.stdout


def test_arrays_and_lines_are_judged_one_by_one(tmp_path: Path) -> None:
    cars = [charged(50, id="urn:ngsi-ld:ElectricVehicle:a:1"), charged(101, id="urn:ngsi-ld:ElectricVehicle:a:2")]
    broken = {"id": "no uri", "type": "ElectricVehicle"}
    array = run("validate", write(tmp_path, "cars.json", [*cars, broken]), "-o", "json")
    lines = "\n".join(json.dumps(car) for car in [*cars, broken]) + "\n{\n"
    by_line = run("validate", write(tmp_path, "cars.ndjson", lines), "-o", "json")
    first, second = json.loads(array.stdout), json.loads(by_line.stdout)
    (result,) = first["results"]
    assert result["entity"] == "urn:ngsi-ld:ElectricVehicle:a:2"
    assert (result["severity"], result["constraint"], result["value"]) == ("Violation", "MaxInclusive", "101")
    assert result["attribute"].endswith("#stateOfCharge")
    assert result["rule"] == "https://w3id.org/voltweave/shapes#C04"
    assert (result["recommendedAction"], "cannot be" in result["explanation"]) == ("checkSensor", True)
    assert [each["entity"] for each in first["notEntities"]] == ["no uri"]
    assert second["results"] == first["results"]
    assert [each["entity"] for each in second["notEntities"]] == ["no uri", "line 4"]
    assert (array.returncode, by_line.returncode) == (ExitCode.REJECTED, ExitCode.REJECTED)
    assert (first["conforms"], first["entities"], second["entities"]) == (False, 3, 4)


def test_the_report_is_shacl(tmp_path: Path) -> None:
    wrong = charged(-1)
    wrong["odometer"]["unitCode"] = "XXX"
    ended = run("validate", write(tmp_path, "cars.json", [wrong, charged(-1, id="urn:x:2")]), "-o", "turtle")
    report = Graph().parse(data=ended.stdout, format="turtle")
    results = list(report.objects(None, SH.result))
    assert len(results) == 3
    assert {report.value(result, SH.resultSeverity) for result in results} == {SH.Violation}
    assert list(report.objects(None, SH.conforms)) == [Literal(False)]
    paths = [report.value(result, SH.resultPath) for result in results]
    assert sum((path, RDF.first, None) in report for path in paths) == 2
    vs = Namespace(NAMESPACE)
    assert {report.value(result, vs.rule) for result in results} == {vs.C03, vs.C04}
    actions = [str(report.value(result, vs.recommendedAction)) for result in results]
    assert sorted(actions) == ["checkSensor", "checkSensor", "correctMapping"]
    assert all(report.value(result, vs.explanation) for result in results)


def test_turtle_is_judged_like_the_entity_it_came_from(tmp_path: Path) -> None:
    from ngsild.expand import expand_entity
    from ngsild.rdf import n_triples, triples_of
    from ngsild.render import Representation
    from tests.unit.shapes.test_compiled_shapes import TERMS

    wrong = charged(2264)
    del wrong["odometer"]["observedAt"]
    turtle = n_triples(triples_of([expand_entity(wrong, TERMS, 0)], Representation()))
    by_json = run("validate", write(tmp_path, "car.json", wrong), "-o", "json")
    by_turtle = run("validate", write(tmp_path, "car.ttl", turtle), "-o", "json")
    assert json.loads(by_turtle.stdout) == json.loads(by_json.stdout)
    assert len(json.loads(by_json.stdout)["results"]) == 2


def test_a_url_and_an_own_context() -> None:
    own = {"id": "urn:ngsi-ld:ElectricVehicle:a:1", "type": "Auto", "Ladung": CAR["stateOfCharge"] | {"value": 150}}
    terms = {"Auto": "cim:ElectricVehicle", "Ladung": "cim:stateOfCharge", "cim": "https://w3id.org/voltweave/cim#"}
    with served(json.dumps({"@context": terms}).encode()) as contexts:
        with served(json.dumps(own | {"@context": [f"{contexts}/c.jsonld"]}).encode()) as url:
            ended = run("validate", url)
        assert ended.returncode == ExitCode.REJECTED and "(it is 150)" in ended.stdout
        with served(json.dumps(own).encode()) as url:
            assert "(it is 150)" in run("validate", url, "--context", contexts).stdout


def test_types_that_no_shape_is_about_are_told(tmp_path: Path) -> None:
    ended = run("validate", write(tmp_path, "a.json", {"id": "urn:x:1", "type": "Chair"}))
    assert ended.returncode == ExitCode.DONE
    assert "1 of them of types that no shape is about, so nothing was judged" in ended.stderr


def test_turtle_of_types_that_no_shape_is_about_is_told_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ttl", TURTLE)
    assert "1 of them of types that no shape is about, so nothing was judged" in run("validate", path).stderr
    report = json.loads(run("validate", path, "-o", "json").stdout)
    assert (report["entities"], report["withoutShapes"]) == (2, 1)


@pytest.mark.parametrize("content", [json.dumps(charged(2264)), json.dumps([charged(2264)]), TURTLE])
def test_a_byte_order_mark_is_no_content(tmp_path: Path, content: str) -> None:
    bare, marked = write(tmp_path, "bare", content), write(tmp_path, "marked", "\ufeff" + content)
    assert json.loads(run("validate", marked, "-o", "json").stdout) == json.loads(
        run("validate", bare, "-o", "json").stdout
    )


def test_an_error_of_the_reader_without_words_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Graph, "parse", fail)
    with pytest.raises(Refused, match="neither JSON nor Turtle: AssertionError"):
        validate([write(tmp_path, "a.ttl", TURTLE)])


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("<html>", ExitCode.REFUSED, "neither JSON nor Turtle"),
        ('{"id": ', ExitCode.REFUSED, "JSON"),
        (None, ExitCode.REFUSED, "No such file"),
        ({"@context": "ftp://x", "id": "urn:x:1", "type": "A"}, ExitCode.REFUSED, "'ftp://x' is no URL"),
        ({"@context": "http://127.0.0.1:1/x", "id": "urn:x:1", "type": "A"}, ExitCode.UNREACHABLE, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: Any, code: ExitCode, said: str) -> None:
    path = str(tmp_path / "nowhere") if content is None else write(tmp_path, "x", content)
    ended = run("validate", path)
    assert ended.returncode == code and said in ended.stderr and "Traceback" not in ended.stderr
