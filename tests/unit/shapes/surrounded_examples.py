"""For each shape about surroundings an example that meets it and one that breaks it, both just beside the limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

from ngsild.entity import Entity
from shapes import NAMESPACE, terms
from shapes.surroundings import Surroundings, model_surroundings
from shapes.surroundings.shape import SurroundingShape
from tests.unit.shapes.surrounded import At, about, entity, instance, iri, samples

Examples = dict[str, tuple[Surroundings, Surroundings]]
WEEK = 7 * 1440
HOUR_LONG = {"startDateTime": At(-60), "endDateTime": At(0), "duration": 3600}


def register(name: str, attribute: str, slack: float) -> tuple[Surroundings, Surroundings]:
    """A register that stands still but for its slack, and one that falls by more."""
    holder = entity(f"{name}:1")
    right = about(holder, series={attribute: [(-20, 90), (-10, 100), (0, 100 - slack)]})
    wrong = about(holder, series={attribute: [(-20, 90), (-10, 100), (0, 99.9 - slack)]})
    return right, wrong


def step(name: str, attribute: str, power: str, most: float, link: str = "") -> tuple[Surroundings, Surroundings]:
    """A register that rises for an hour as fast as 10 kW allow, `most`, and one that rises faster."""
    other = entity("Other:1", **{power: 10})
    holder = entity(f"{name}:1", **({link: other.id} if link else {power: 10}))
    found = [
        about(holder, *((other,) if link else ()), series={attribute: [(-60, 100), (0, 100 + energy)]})
        for energy in (most - 0.001, most + 0.001)
    ]
    return found[0], found[1]


def _registers() -> Examples:
    examples: Examples = {}
    powers = {"EVSE": "ratedPower", "Connector": "maxPower", "ChargingStation": "powerOutputConfiguration"}
    for name, attribute, most in (
        ("EVSE", "activeEnergyRegister", 11.01),
        ("EVSE", "energyProvidedRegister", 11.001),
        ("EVSE", "activeEnergyExportRegister", 11.01),
        ("EVSE", "standbyEnergyRegister", 11.01),
        ("Connector", "deliveredEnergyRegister", 11.001),
        ("ChargingStation", "energyProvidedRegister", 11.001),
    ):
        examples[f"{name}-{attribute}-rises"] = register(name, attribute, 0.01)
        examples[f"{name}-{attribute}-step"] = step(name, attribute, powers[name], most)
    examples["Building-energyConsumedTotal-rises"] = register("Building", "energyConsumedTotal", 0.01)
    examples["Building-energyConsumedTotal-step"] = step(
        "Building", "energyConsumedTotal", "contractedPower", 11.01, "gridConnection"
    )
    examples["PVPlant-energyProducedTotal-rises"] = register("PVPlant", "energyProducedTotal", 0.01)
    examples["PVPlant-energyProducedTotal-step"] = step("PVPlant", "energyProducedTotal", "installedPower", 12.01)
    for attribute in ("totalSessionCount", "failedSessionCount", "errorCount", "warningCount", "errorAndWarningCount"):
        # NOW is noon: midnight of the zones of Europe lies 15 to 11 hours before, with a quarter of an hour more.
        station = entity("ChargingStation:1")
        examples[f"ChargingStation-{attribute}-rises"] = (
            about(station, series={attribute: [(-646, 7), (-645, 0), (0, 3)]}, since=-700),
            about(station, series={attribute: [(-644, 7), (-643, 0), (0, 3)]}, since=-700),
        )
    for attribute, slack in (("odometer", 0), ("chargeCount", 0), ("energyChargedTotal", 0.01)):
        examples[f"ElectricVehicle-{attribute}-rises"] = register("ElectricVehicle", attribute, slack)
    car = entity("ElectricVehicle:1")
    examples["ElectricVehicle-odometer-step"] = (
        about(car, series={"odometer": [(-1440, 1000), (0, 3600)]}),
        about(car, series={"odometer": [(-1440, 1000), (0, 3600.1)]}),
    )
    for attribute in (
        "numberOfFullCycles", "energyThroughput", "capacityThroughput", "timeExtremeHighTemp", "timeExtremeLowTemp",
        "timeExtremeHighTempCharging", "timeExtremeLowTempCharging",
    ):  # fmt: skip
        examples[f"Battery-{attribute}-rises"] = register("Battery", attribute, 0)
    return examples


def _charging() -> Examples:
    evse = entity("EVSE:1", ratedPower=22, bidirectional=False)
    able = entity("EVSE:2", ratedPower=22, bidirectional=True)

    def session(**attributes: object) -> Surroundings:
        return about(entity("ChargingSession:1", evse=evse.id, **attributes), evse)

    return {
        "ChargingSession-energyDelivered-possible": (
            session(duration=3540, energyDelivered=24.2),
            session(duration=3540, energyDelivered=24.21),
        ),
        "ChargingSession-energyExported-able": (
            about(entity("ChargingSession:1", evse=able.id, energyExported=3), able),
            session(energyExported=0.01),
        ),
        "ChargingSession-supplyingVehicle-other": (
            session(vehicle="urn:ngsi-ld:ElectricVehicle:1", supplyingVehicle="urn:ngsi-ld:ElectricVehicle:2"),
            session(vehicle="urn:ngsi-ld:ElectricVehicle:1", supplyingVehicle="urn:ngsi-ld:ElectricVehicle:1"),
        ),
        "ChargingProfile-allowDischarging-able": (
            about(entity("ChargingProfile:1", evse=able.id, allowDischarging=True), able),
            about(entity("ChargingProfile:1", evse=evse.id, allowDischarging=True), evse),
        ),
    }


def _special() -> list[Surroundings]:
    """Resets, other meters and other datasets: surroundings that random changes hardly make."""
    evse = entity("EVSE:1", ratedPower=22)
    fell = [(-20, 90), (-10, 100), (0, 3)]
    meters = [samples([each], madeBySensor={"type": "Relationship", "object": f"urn:m:{each[1]}"})[0] for each in fell]
    dataset = samples(fell, datasetId="urn:ngsi-ld:Dataset:a")
    return [
        about(evse, series={"activeEnergyRegister": fell, "registerReset": [(-25, False), (-5, True)]}),
        about(evse, series={"activeEnergyRegister": fell, "registerReset": [(-10, True)]}),
        about(evse, series={"activeEnergyRegister": fell, "registerReset": [(0, True)]}),
        about(evse, series={"activeEnergyRegister": fell, "registerReset": [(-5, False)]}),
        about(evse, series={"activeEnergyRegister": fell}, since=-30),
        about(evse, series={"activeEnergyRegister": meters}),
        about(evse, series={"activeEnergyRegister": dataset}),
    ]


def _grid() -> tuple[Entity, Entity]:
    carbon = entity("GridCarbonIntensity:1", referenceEvConsumption=20, referenceCarEmission=120)
    return entity("GridConnection:1", carbonIntensity=carbon.id), carbon


def _sessions() -> Examples:
    evse = entity("EVSE:1", station="urn:ngsi-ld:ChargingStation:1")
    model = entity("VehicleModel:1", usableBatteryEnergy=50)
    car = entity("ElectricVehicle:1", vehicleModel=model.id)
    station = entity("ChargingStation:1", site="urn:ngsi-ld:ChargingSite:1")
    site = entity("ChargingSite:1", gridConnection="urn:ngsi-ld:GridConnection:1")
    way = (evse, station, site, *_grid())

    def session(energy: float = 20, **attributes: object) -> Entity:
        return entity("ChargingSession:1", evse=evse.id, energyDelivered=energy, **{**HOUR_LONG, **attributes})

    def metered(energy: float, register: str) -> Surroundings:
        rows = [(-90, 95), (-61, 100), (-30, 110), (1, 120), (30, 150)]
        return about(session(energy), evse, histories={("EVSE:1", register): rows})

    def emitted(emission: float) -> Surroundings:
        rows = [(-300, 900), (-120, 200), (-30, 300), (10, 50)]
        past = {("GridCarbonIntensity:1", "intensity"): rows}
        return about(session(co2Emission=emission), *way, histories=past)

    def rise(energy: float) -> Surroundings:
        attributes = {"vehicle": car.id, "stateOfChargeStart": 20, "stateOfChargeEnd": 60}
        return about(session(energy, **attributes), car, model)

    def cost(value: float) -> Surroundings:
        contracts = [
            entity(
                "EnergySupplyContract:1", site=site.id, pricePerKWh=(0.2, -900), validFrom=At(-999), validTo=At(-60)
            ),
            entity("EnergySupplyContract:2", site=site.id, pricePerKWh=(0.25, -900), validFrom=At(-60)),
            entity("EnergySupplyContract:3", site=site.id, pricePerKWh=(0.3, -10), validFrom=At(-900)),
        ]
        return about(session(energyCost=value), *way, related={("EnergySupplyContract", "site"): contracts})

    return {
        f"ChargingSession-energyDelivered-{name}": (metered(most, register), metered(most + 0.1, register))
        for name, register, most in (
            ("metered", "energyProvidedRegister", 20.4),
            ("metered-input", "activeEnergyRegister", 23.5),
        )
    } | {
        "ChargingSession-energyDelivered-stored": (rise(14), rise(13.9)),
        "ChargingSession-co2Emission-of-energy": (emitted(6.05), emitted(6.07)),
        "ChargingSession-co2Saving-of-energy": (
            about(session(co2Saving=6.06, co2Emission=6), *way),
            about(session(co2Saving=6.07, co2Emission=6), *way),
        ),
        "ChargingSession-energyCost-of-contract": (cost(5.05), cost(5.06)),
    }


def _overlaps() -> Examples:
    def alone(begin: float, by: str, **more: object) -> Surroundings:
        other = entity("ChargingSession:2", **{by: "urn:ngsi-ld:Shared:1"}, startDateTime=At(begin), endDateTime=At(90))
        one = entity("ChargingSession:1", **{**HOUR_LONG, **more}, **{by: "urn:ngsi-ld:Shared:1"})
        return about(one, related={("ChargingSession", by): [one, other]})

    def supplied(begin: float) -> Surroundings:
        one = entity("EnergySupplyContract:1", site="urn:ngsi-ld:ChargingSite:1", validFrom=At(-900), validTo=At(0))
        other = entity("EnergySupplyContract:2", site="urn:ngsi-ld:ChargingSite:1", validFrom=At(begin))
        return about(one, related={("EnergySupplyContract", "site"): [other]})

    return {
        "ChargingSession-connector-alone": (alone(-2, "connector"), alone(-2.1, "connector")),
        "ChargingSession-evse-alone": (alone(-2, "evse"), alone(-2.1, "evse")),
        "EnergySupplyContract-site-alone": (supplied(0), supplied(-1)),
    }


def _sums() -> Examples:
    def total(name: str, attribute: str, value: float, part: str, by: str, held: str) -> Surroundings:
        whole = entity(f"{name}:1", **{attribute: (value, 0)})
        parts = [entity(f"{part}:{n}", **{by: whole.id, held: (each, -n)}) for n, each in ((0, 400), (1, 600))]
        return about(whole, related={(part, by): parts})

    def cells(spread: float, voltage: float = 7.0, current: float = 0.5) -> Surroundings:
        module = entity("BatteryModule:1", voltage=(voltage, 0), current=(current, 0))
        found = [
            entity(f"BatteryCell:{n}", module=module.id, voltage=(each, -0.5))
            for n, each in ((1, 3.5), (2, 3.5 + spread))
        ]
        return about(module, related={("BatteryCell", "module"): found})

    def output(rise: float) -> Surroundings:
        taken = [(-90, 10), (-60, 20), (-30, 25), (0, 30), (10, 40)]
        series = {"energyProvidedRegister": [(-60, 100), (0, 100 + rise)], "activeEnergyRegister": taken}
        return about(entity("EVSE:1"), series=series)

    def spots(free: int) -> Surroundings:
        site = entity("ParkingSite:1", totalSpotNumber=3, availableSpotNumber=(free, 0))
        states = (("1", "free"), ("2", "occupied"), ("3", "closed"))
        found = [entity(f"ParkingSpot:{n}", parkingSite=site.id, status=(state, -1)) for n, state in states]
        return about(site, related={("ParkingSpot", "parkingSite"): found})

    def register(value: float) -> Surroundings:
        return total("ChargingStation", "energyProvidedRegister", value, "EVSE", "station", "energyProvidedRegister")

    def delivered(value: float) -> Surroundings:
        return total("EVSE", "energyProvidedRegister", value, "Connector", "evse", "deliveredEnergyRegister")

    return {
        "ChargingStation-energyProvidedRegister-sum": (register(1005), register(1006)),
        "EVSE-energyProvidedRegister-sum": (delivered(1005), delivered(1006)),
        "EVSE-energyProvidedRegister-input": (output(10.01), output(10.03)),
        "BatteryModule-voltage-sum": (cells(0, voltage=7.1), cells(0, voltage=7.2)),
        "BatteryModule-voltage-spread": (cells(0.049), cells(0.051)),
        "ParkingSite-availableSpotNumber-free": (spots(1), spots(2)),
    }


def _batteries() -> Examples:
    examples: Examples = {}
    for name, attribute in (
        ("Battery", "manufacturer"), ("BatteryModule", "battery"), ("BatteryModule", "manufacturer"),
        ("BatteryCell", "module"), ("BatteryCell", "manufacturer"), ("CellMeasurement", "cell"),
        ("EISMeasurement", "cell"), ("BatteryPassport", "battery"),
    ):  # fmt: skip
        other = entity("Organisation:1")
        one = entity(f"{name}:1", **{attribute: other.id})
        examples[f"{name}-{attribute}-exists"] = (about(one, other), about(one))
    for name, attribute in (
        ("Battery", "serialNumber"),
        ("BatteryCell", "name"),
        ("BatteryPassport", "passportIdentifier"),
    ):
        one, same, other = (entity(f"{name}:{n}", **{attribute: key}) for n, key in ((1, "a"), (2, "a"), (3, "b")))
        examples[f"{name}-{attribute}-unique"] = (
            about(one, related={(name, attribute): [one, other]}),
            about(one, related={(name, attribute): [one, same]}),
        )
    battery = entity("Battery:1", lifeStatus="reused")
    right, wrong = (
        about(entity("BatteryPassport:1", battery=battery.id, lifecycleStatus=status), battery)
        for status in ("reused", "original")
    )
    examples["BatteryPassport-lifecycleStatus-battery"] = (right, wrong)
    examples["EISMeasurement-frequency-unique"] = (spectrum(1, 10, 100), spectrum(1, 10, 1))
    examples["EISMeasurement-frequency-spectrum"] = (spectrum(1, 10, 100, 1000, 10_000), spectrum(1, 10, 100, 1000))
    return examples


def spectrum(*frequencies: float, added: float = -61) -> Surroundings:
    """The first point of a spectrum, with the others."""
    cell = "urn:ngsi-ld:BatteryCell:1"
    points = [
        entity(f"EISMeasurement:{n}", cell=cell, eventId="7_1", frequency=each, addedAt=At(added))
        for n, each in enumerate(frequencies)
    ]
    return about(points[0], related={("EISMeasurement", "eventId"): points})


def _parking() -> Examples:
    def spot(*linked: Entity, **more: object) -> Surroundings:
        return about(entity("ParkingSpot:1", status=("occupied", -1), evse="urn:ngsi-ld:EVSE:1", **more), *linked)

    def idle(state: str, minutes: float) -> Surroundings:
        here = entity("ParkingSpot:1", evse="urn:ngsi-ld:EVSE:1")
        states = [(-30, "charging"), (-minutes, state), (-1, state)]
        occupied = [(-50, "free"), (-40, "occupied"), (-1, "occupied")]
        past = {("EVSE:1", "status"): states}
        return about(here, entity("EVSE:1"), series={"status": occupied}, histories=past)

    def charged(minutes: float) -> Surroundings:
        session = entity("ChargingSession:1", chargingEndDateTime=At(-minutes))
        return spot(entity("EVSE:1", currentSession=session.id), session)

    def silent(name: str, attribute: str, minutes: float) -> Surroundings:
        return about(entity(f"{name}:1", **{attribute: ("free", -minutes)}))

    return {
        "ParkingSpot-status-nonChargingVehicle": (idle("available", 9), idle("available", 10)),
        "ParkingSpot-status-blockedWhileFaulted": (idle("faulted", 9), idle("faulted", 10)),
        "ParkingSpot-status-overstayAfterCharge": (charged(30), charged(31)),
        "ParkingSpot-status-maxStayExceeded": (
            spot(maxStay=60, occupiedSince=At(-60)),
            spot(maxStay=60, occupiedSince=At(-61)),
        ),
        "ParkingSpot-status-silent": (silent("ParkingSpot", "status", 1440), silent("ParkingSpot", "status", 1441)),
        "Device-lastHeartbeat-silent": (
            about(entity("Device:1", lastHeartbeat=(At(-1440), -2000))),
            about(entity("Device:1", lastHeartbeat=(At(-1441), 0))),
        ),
    }


def weekly(rises: Iterable[float]) -> list[tuple[float, float]]:
    """Return the samples of a counter, one a week, the last now."""
    totals = list(accumulate(rises, initial=1000.0))
    return [(-WEEK * (len(totals) - 1 - n), total) for n, total in enumerate(totals)]


def _vehicles() -> Examples:
    car = entity("ElectricVehicle:1", chargingStatus="notCharging")
    steady = [100, 110, 90, 105, 95, 100, 110, 90, 105, 95, 100, 100]
    driven = [(-3000, 0), (-2000, 100), (-1000, 350)]
    stood = [(-2000, 7), (-1000, 7), (0, 7)]
    examples: Examples = {
        "ElectricVehicle-stateOfCharge-jump": (
            about(car, series={"stateOfCharge": [(-4, 50), (0, 80)]}),
            about(car, series={"stateOfCharge": [(-4, 50), (0, 81)]}),
        )
    }
    for counter in ("energyChargedTotal", "chargeCount"):
        examples[f"ElectricVehicle-{counter}-stagnant-odometer"] = (
            about(car, series={counter: stood, "odometer": [*driven, (0, 600)]}),
            about(car, series={counter: stood, "odometer": [*driven, (0, 601)]}),
        )
        examples[f"ElectricVehicle-{counter}-stagnant-charge"] = (
            about(car, series={counter: stood, "stateOfCharge": [(-900, 30), (-60, 50), (0, 90)]}),
            about(car, series={counter: stood, "stateOfCharge": [(-900, 30), (-60, 51), (0, 40)]}),
        )
    for counter in ("odometer", "energyChargedTotal", "chargeCount"):
        examples[f"ElectricVehicle-{counter}-shift"] = (
            about(car, series={counter: weekly([*steady, 150, 150, 150, 150])}),
            about(car, series={counter: weekly([*steady, 151, 151, 151, 151])}),
        )
    return examples


def _telemetry() -> Examples:
    examples: Examples = {}
    for name, shape in SHAPES.items():
        holder = entity(f"{shape.types[0].rpartition('#')[2]}:1")
        attribute = shape.attribute.rpartition("#")[2]
        if shape.component in ("oneValue", "gap", "silent"):
            examples[name] = _watched(shape, holder, attribute)
        elif shape.component == "stale":
            count = int(shape.number("stale"))
            right, wrong = ([(-n, 20.5) for n in range(most, -1, -1)] for most in (count - 1, count))
            examples[name] = about(holder, series={attribute: right}), about(holder, series={attribute: wrong})
        elif shape.component == "interpolated":
            line = [(-n, 20.5 - n) for n in range(5, -1, -1)]
            examples[name] = (
                about(holder, series={attribute: [(-6, 30), *line[1:]]}),
                about(holder, series={attribute: [(-6, 30), *line]}),
            )
        elif shape.component == "outlier":
            rows = [(-n, 20 + n % 3) for n in range(29, 0, -1)]
            beside = 8 * max(shape.number("least"), 1 / 0.6745)
            examples[name] = (
                about(holder, series={attribute: [*rows, (0, 21 + beside - 0.01)]}),
                about(holder, series={attribute: [*rows, (0, 21 + beside + 0.01)]}),
            )
    return examples


def _watched(shape: SurroundingShape, holder: Entity, attribute: str) -> tuple[Surroundings, Surroundings]:
    """A value of a Dataset that says how often it comes."""
    periods = {
        name: instance({shape.attribute: 10, "urn:other": "onEvent"}) for name in ("samplingPeriod", "uploadPeriod")
    }
    dataset = entity("Dataset:1", updateFrequency=60, **periods)

    def at(minutes: float, *before: tuple[float, float]) -> Surroundings:
        series = samples([*before, (minutes, 5.5)], datasetId=dataset.id)
        return about(holder, dataset, series={attribute: series})

    if shape.component == "silent":
        return at(-0.5), at(-0.51)
    if shape.component == "gap":
        return at(0, (-0.5, 5)), at(0, (-0.51, 5))
    return at(0, (-0.1, 5)), at(0, (0, 5))


def _jumps() -> list[Surroundings]:
    """A state of charge that jumps before, in and after sessions, and while the vehicle says that it charges."""
    found = []
    for start, end in ((-100, -5), (-100, -3), (-3, None), (1, None)):
        more = {} if end is None else {"endDateTime": At(end)}
        car = entity("ElectricVehicle:1", chargingStatus="notCharging")
        session = entity("ChargingSession:1", vehicle=car.id, startDateTime=At(start), **more)
        series = {"stateOfCharge": [(-4, 50), (0, 90)]}
        found.append(about(car, series=series, related={("ChargingSession", "vehicle"): [session]}))
    charging = entity("ElectricVehicle:1", chargingStatus="charging")
    return [*found, about(charging, series={"stateOfCharge": [(-4, 50), (0, 90)]})]


SHAPES = {str(terms.text_of(shape.name)).removeprefix(NAMESPACE): shape for shape in model_surroundings().shapes}
EXAMPLES: Examples = {
    name: example
    for made in (_registers, _charging, _sessions, _overlaps, _sums, _batteries, _parking, _vehicles, _telemetry)
    for name, example in made().items()
}


def _open() -> list[Surroundings]:
    """Sessions without an end, of any status, beside one that has ended, and one that names a connector too."""
    found = []
    for status in ("active", "completed", None):
        more = {} if status is None else {"status": status}
        one = entity("ChargingSession:1", evse="urn:ngsi-ld:EVSE:1", startDateTime=At(-60), **more)
        other = entity("ChargingSession:2", evse="urn:ngsi-ld:EVSE:1", startDateTime=At(-90), endDateTime=At(-30))
        plugged = replace(one, attributes=one.attributes | {iri("connector"): instance("urn:ngsi-ld:Connector:1")})
        for each, beside in ((one, other), (other, one), (plugged, other)):
            found.append(about(each, related={("ChargingSession", "evse"): [beside]}))
    return found


def _before() -> list[Surroundings]:
    """Sessions that begin while another one ends, two minutes before its end and more."""
    session = entity("ChargingSession:1", evse="urn:ngsi-ld:EVSE:1", **HOUR_LONG)
    times = [{"startDateTime": At(-90), "endDateTime": At(end)} for end in (-58, -57.9)]
    others = [entity("ChargingSession:2", evse="urn:ngsi-ld:EVSE:1", **each) for each in times]
    return [about(session, related={("ChargingSession", "evse"): [each]}) for each in others]


def _prices() -> list[Surroundings]:
    """A cost by the price of a contract, set before and after the session began."""
    evse = entity("EVSE:1", station="urn:ngsi-ld:ChargingStation:1")
    way = (evse, entity("ChargingStation:1", site="urn:ngsi-ld:ChargingSite:1"), entity("ChargingSite:1"))
    session = entity("ChargingSession:1", evse=evse.id, energyDelivered=20, energyCost=6, **HOUR_LONG)
    found = []
    for changed in (-61, -60, -59):
        contract = entity("EnergySupplyContract:1", site=way[2].id, pricePerKWh=(0.2, changed), validFrom=At(-900))
        found.append(about(session, *way, related={("EnergySupplyContract", "site"): [contract]}))
    return found


def _blocked() -> list[Surroundings]:
    """A spot that is occupied since just so long, at chargers whose state is old and fresh."""
    found = []
    for seen, since in ((-15, -30), (-14.9, -30), (-14, -10), (-14, -9.9)):
        evse = entity("EVSE:1", status=("available", seen))
        spot = entity("ParkingSpot:1", status=("occupied", -1), evse=evse.id, occupiedSince=At(since))
        found.append(about(spot, evse))
    return found


def _old_parts() -> list[Surroundings]:
    """A module whose cell was measured just before it, long before and after it."""
    module = entity("BatteryModule:1", voltage=(9, 0))
    cells = [entity("BatteryCell:1", module=module.id, voltage=(3.5, minutes)) for minutes in (-1, -1.1, 0, 0.1)]
    return [about(module, related={("BatteryCell", "module"): [each]}) for each in cells]


SPECIAL = {
    "EVSE-activeEnergyRegister-rises": _special(),
    "ElectricVehicle-stateOfCharge-jump": _jumps(),
    "ChargingSession-evse-alone": [*_open(), *_before()],
    "ChargingSession-energyCost-of-contract": _prices(),
    "ParkingSpot-status-nonChargingVehicle": _blocked(),
    "BatteryModule-voltage-sum": _old_parts(),
}
