"""For each shape about surroundings an example that meets it and one that breaks it, both just beside the limit."""

from __future__ import annotations

from shapes.surroundings import Surroundings
from tests.unit.shapes.surrounded import about, entity, samples

Examples = dict[str, tuple[Surroundings, Surroundings]]


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
        about(car, series={"odometer": [(-1440, 1000), (0, 3501)]}),
        about(car, series={"odometer": [(-1440, 1000), (0, 3501.1)]}),
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


EXAMPLES: Examples = _registers() | _charging()
SPECIAL = {"EVSE-activeEnergyRegister-rises": _special()}
