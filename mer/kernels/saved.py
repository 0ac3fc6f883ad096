"""Fitted machines as files: `machines.safetensors`, and `machines.json` beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mer.ensemble.ensemble import Ensemble
from mer.ensemble.logistic import Logistic
from mer.errors import UNREADABLE, WeightsError
from mer.kernels.fitted import FittedMachines, LearntStreams
from mer.kernels.machines import KernelMachine, LogisticMachine, Machine, Reading
from mer.kernels.states import Scaling
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

TENSORS, RECORD = "machines.safetensors", "machines.json"

Arrays = dict[str, NDArray[Any]]


def save_machines(folder: Path, fitted: FittedMachines) -> None:
    """Write both files into an existing folder.

    Raises:
        DiskFull, WriteFailed: they cannot be written.
    """
    arrays: Arrays = {"known": fitted.known}
    for number, (name, scaling) in enumerate(fitted.streams.scaling.items()):
        arrays |= {f"stream{number}.mean": scaling.mean, f"stream{number}.scale": scaling.scale}
        if name in fitted.streams.features:
            arrays[f"stream{number}.features"] = fitted.streams.features[name]
    records = []
    for number, (name, machine) in enumerate(fitted.machines.items()):
        own, record = _taken_apart(machine)
        arrays |= {f"machine{number}.{key}": value for key, value in own.items()}
        records.append({"name": name, **record})
    about = {
        "format": 1,
        "classes": fitted.classes,
        "streams": list(fitted.streams.scaling),
        "first": dict(fitted.streams.first),
        "machines": records,
        "rule": fitted.rule.to_json(),
        "figures": dict(fitted.figures),
        "history": [dict(row) for row in fitted.history],
    }
    write_arrays(folder / TENSORS, arrays)
    write_whole(folder / RECORD, (json.dumps(about, indent=1) + "\n").encode())


def load_machines(folder: Path) -> FittedMachines:
    """Read back what `save_machines` wrote, bit for bit.

    Raises:
        WeightsError: absent or damaged files.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        about = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        arrays = load_file(folder / TENSORS)
        streams: list[str] = about["streams"]
        features = {
            name: arrays[f"stream{number}.features"]
            for number, name in enumerate(streams)
            if f"stream{number}.features" in arrays
        }
        scaling = {
            name: Scaling(arrays[f"stream{number}.mean"], arrays[f"stream{number}.scale"])
            for number, name in enumerate(streams)
        }
        return FittedMachines(
            classes=tuple(about["classes"]),
            known=arrays["known"],
            streams=LearntStreams(scaling, features, about["first"]),
            machines={
                record["name"]: _put_together(record, arrays, f"machine{number}.")
                for number, record in enumerate(about["machines"])
            },
            rule=Ensemble.from_json(about["rule"]),
            figures=about["figures"],
            history=about["history"],
        )
    except (*UNREADABLE, SafetensorError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder}: expected fitted machines ({TENSORS} and {RECORD}), found none that can be read ({error!r}); "
            "save the system again"
        ) from error


def _taken_apart(machine: Machine) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of a machine, and everything else."""
    record: dict[str, Any] = {
        "readings": {name: asdict(read) for name, read in machine.readings.items()},
        "varied": machine.varied,
        "valence_mean": machine.valence_mean,
    }
    if isinstance(machine, KernelMachine):
        return {"dual": machine.dual, "valence": machine.valence}, record | {"width": machine.width}
    logistic = machine.classes
    return {"coef": logistic.coef, "intercept": logistic.intercept, "valence": machine.valence}, record


def _put_together(record: dict[str, Any], arrays: Arrays, prefix: str) -> Machine:
    readings = {name: Reading(**values) for name, values in record["readings"].items()}
    valence, mean = arrays[f"{prefix}valence"], float(record["valence_mean"])
    if "width" in record:
        dual = arrays[f"{prefix}dual"]
        return KernelMachine(readings, record["width"], record["varied"], dual, valence, mean)
    logistic = Logistic(arrays[f"{prefix}coef"], arrays[f"{prefix}intercept"])
    return LogisticMachine(readings, record["varied"], logistic, valence, mean)
