"""Values that the fields of a run's and a study's JSON and YAML files must not have, or may lack."""

from __future__ import annotations

from typing import Any

#: The field is taken away.
GONE = object()
NAN, INFINITY = float("nan"), float("inf")
LONG = "long " * 100_000


#: Field of the card -> values that it must not have.
CARD: dict[str, list[Any]] = {
    "title": [GONE, 5, [], None, LONG],
    "limits": [GONE, "one", 3, [1], [["a"]], {"a": 1}],
    "classes": [GONE, "abc", ["a"], ["a", "a", "b"], [1, 2, 3], [], [f"c{i}" for i in range(10_000)], ["", " ", "\0"]],
    "temperature": [GONE, NAN, INFINITY, 0, -1, "warm", None, True, 1e300, 1e-300, []],
    "weights_sha256": [GONE, 5, None, "x", "0" * 64, []],
    "intended_use": [GONE, 7, [], {}],
    "scheme": [GONE, [], "x", {}],
    "scheme.meaning": [3, [], None],
    "scheme.is_her2": ["no", None, []],
    "scheme.name": [[], {}],
    "network": [GONE, [], "resnet"],
    "network.name": [
        5,
        [],
        "absent",
        "timm:local-dir:/tmp",
        "timm:hf-hub:a/b",
        "hub:a/b",
        "../x",
        "timm:" + "x" * 9999,
    ],
    "network.options": [
        [],
        "x",
        None,
        {"img_size": "big"},
        {"checkpoint_path": "x"},
        {"a": {"b": 1}},
        {"widths": 10**30},
    ],
    "network.last_layer": ["knn", [], {"kind": "knn"}, {"kind": "knn", "references": 10**9}],
    "network.init": [[], 5],
    "input": [GONE, [], "x"],
    "input.px": [GONE, "64", -1, 0, 4096, 64.5, None, 10**20, True],
    "input.mean": [GONE, [0.5], "abc", [NAN] * 3, ["a", "b", "c"], None],
    "input.std": [GONE, [0, 0, 0], [INFINITY] * 3, 5, [1] * 4],
    "input.field_um": ["wide", [], NAN, -3, 0],
    "stain": [GONE, [], "macenko"],
    "stain.method": [5, [], "absent"],
    "stain.reference": [GONE, [], "x", {}, {"vectors": 1}],
    "stain.reference.vectors": [[[1, 2]], [[NAN] * 3] * 2, "x", [[0, 0, 0], [0, 0, 0]], [[[1]]]],
    "stain.reference.max_concentration": [[1], ["a", "b"], [-1, 0], [INFINITY, 1]],
    "stain.reference.white": ["bright", NAN, 0, -5, []],
    "data": [GONE, [], "tissue"],
    "data.split_unit": [GONE, 5, [], {}],
    "data.sources": [GONE, 5, [1, 2], "x", [["a"]]],
    "data.patches": [GONE, [], "x", {"train": 5}, {"train": {"a": "many"}}, {"train": None}],
    "data.facts": [[], "x", None, 3],
    "data.facts.spec": [GONE, [], {"px": 9999, "patients": 9999}, {"px": "big"}, {"foreign": 1}, None],
    "data.facts.licence": [[], 5],
    "data.name": [[], 5],
    "prediction_sets": [[], "x", {}, {"coverage": 0.9}],
    "prediction_sets.coverage": ["most", NAN, 7, [], None],
    "prediction_sets.classes": [["c", "b", "a"], [], "x", None],
    "prediction_sets.thresholds": [[], {}, {"a": 1}, "x"],
    "prediction_sets.validation_patches": [[], {}, 5],
    "prediction_sets.kind": ["most", 5, None],
    "prediction_sets.of_patients": [[], "x", {}, {"coverage": 0.9}],
    "ood": [[], "x", {}, {"sha256": 5}],
    "ood.sha256": [5, "0" * 64, None],
    "ood.validation_patches": [[], GONE, "many"],
    "decision": [5, [], {}],
    "map_grid": ["x", [1], {}],
}
#: Field of run.json -> values that it must not have.
INFO: dict[str, list[Any]] = {
    "schema_version": [GONE, "1", True, None, -1, 10**30],
    "status": [GONE, [], 5, "training"],
    "warnings": ["careful", 5, [1], {}, None, [None]],
    "weights_released": ["no", 0, []],
    "hardware": [GONE, [], "x", {}, None],
    "packages": [GONE, [], {}, "torch"],
    "command": [GONE, 5, [], None],
    "git": [[], "x", 5, {"commit": 5}, {"commit": None}, {}],
    "best_epoch": ["last", [], NAN, None],
    "epochs_trained": [[], {}],
    "created": [5, [], "yesterday"],
    "chosen": ["x", None, []],
    "start": [[], "x", 5, {"run": []}, {"weights_sha256": 5, "training_patients": {}}],
    "seed": [[], {}],
    "manifest_hash": [5, []],
}
#: Field of config.yaml -> values that it must not have.
CONFIG: dict[str, list[Any]] = {
    "manifest": [GONE, 5, [], "", "/etc/passwd", "../../../../etc/passwd", "a\0b", LONG],
    "split": [GONE, [], "patient", 5],
    "split.fractions": [GONE, 5, "most", {"train": 1}, [NAN], ["a"]],
    "split.seed": [[], "x"],
    "train": [GONE, [], 5],
    "train.monitor": [[], {"a": 1}],
    "train.class_weights": [[], {"a": 1}],
    "hardware": [GONE, [], "cpu"],
}
#: Field of evaluation/cost.json -> values that it must not have.
COST: dict[str, list[Any]] = {
    "parameters": [GONE, None, "many", NAN],
    "flops": [GONE, None, -1, []],
    "latency_ms": [GONE, None, "slow"],
    "latency_ratio": [GONE, None, {}],
    "hardware": [GONE, [], {}],
}
#: Field of a study's study.json -> values that it must not have.
STUDY: dict[str, list[Any]] = {
    "kind": [GONE, 5, [], "another", None],
    "study": [GONE, [], "x", {}],
    "study.title": [GONE, 5, "", []],
    "study.seeds": [GONE, 3, [], ["a"], None],
    "study.reference": [5, [], "absent"],
    "scheme": [GONE, [], {}, None],
    "scheme.meaning": [GONE, 5, []],
    "data": [GONE, [], "x", {}],
    "data.facts": [[], "x", None, {"synthetic": "yes"}],
    "network": [GONE, [], "x", {}, {"name": 5}],
    "warnings": ["careful", 5, [1], {}],
    "not_by_patient": [5, [], {}],
}
