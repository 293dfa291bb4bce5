"""The kinds of data sets that a profile can name, each a module of this package."""

from collections.abc import Mapping
from typing import Any, Literal

from sfsc.config import data_path, expanded, packed_description
from sfsc.data import cifar, digits, folder, gldv2, packed, revisited
from sfsc.data.sets import RetrievalSet, TrainSet, require_scored, some_classes
from sfsc.options import part
from sfsc.profile import EvalSetEntry, Source


def train_set(entry: Mapping[str, Any], on_bad_image: Literal["stop", "skip"] = "stop") -> TrainSet:
    """The training set of an entry of the config's `train_sets`, packed where it says so."""
    if "packed" in entry:
        return packed.train_set(expanded(entry["packed"]), packed_description(entry))
    return source_set(entry, on_bad_image)


def source_set(
    entry: Mapping[str, Any], on_bad_image: Literal["stop", "skip"] = "stop"
) -> TrainSet:
    """The training set of an entry, from the files that its `path` names."""
    whole = _whole_set(entry, on_bad_image)
    if "class_fraction" in entry:
        return some_classes(whole, entry["class_fraction"])
    return whole


def _whole_set(entry: Mapping[str, Any], on_bad_image: Literal["stop", "skip"]) -> TrainSet:
    match entry["kind"]:
        case "gldv2":
            return gldv2.train_set(data_path(entry))
        case "cifar10":
            return cifar.train_set(data_path(entry), cifar.CIFAR10)
        case "cifar100":
            return cifar.train_set(data_path(entry), cifar.CIFAR100)
        case "folder":
            return folder.train_set(data_path(entry), on_bad_image)
        case "digits":
            return digits.train_set(part(Source, entry).tuning)
    raise ValueError(f"not a kind of training set: {entry['kind']}")


def retrieval_set(entry: Mapping[str, Any]) -> RetrievalSet:
    """Queries, gallery and ground truth of an entry of the config's `eval_sets`.

    Raises InputError for what its format's module refuses, and where no query has a positive.
    """
    found = _whole_retrieval_set(entry)
    require_scored(found.ground_truth, entry.get("path", entry["kind"]))
    return found


def _whole_retrieval_set(entry: Mapping[str, Any]) -> RetrievalSet:
    match entry["kind"]:
        case "gldv2":
            return gldv2.retrieval_set(data_path(entry))
        case "revisited":
            of = part(EvalSetEntry, entry)
            distractors = expanded(of.distractors) if of.distractors else None
            return revisited.retrieval_set(
                data_path(entry), entry["name"], distractors, of.query_crop
            )
        case "cifar10":
            return cifar.retrieval_set(data_path(entry), cifar.CIFAR10)
        case "cifar100":
            return cifar.retrieval_set(data_path(entry), cifar.CIFAR100)
        case "folder":
            return folder.retrieval_set(data_path(entry))
        case "digits":
            return digits.retrieval_set(part(Source, entry).tuning)
    raise ValueError(f"not a kind of evaluation set: {entry['kind']}")
