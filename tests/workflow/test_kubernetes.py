"""The manifest against Kubernetes' own client: no field that it does not know."""

import json

import pytest
import yaml
from kubernetes import client

from sfsc.config import ROOT

KINDS = {"PersistentVolumeClaim": "V1PersistentVolumeClaim", "Job": "V1Job"}
MANIFESTS = list(
    yaml.safe_load_all((ROOT / "profiles" / "kubernetes" / "workflow.yaml").read_text())
)


class Answer:
    def __init__(self, data):
        self.data = data


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_every_field_is_one_of_kubernetes(manifest):
    api = client.ApiClient()
    read = api.deserialize(Answer(json.dumps(manifest)), KINDS[manifest["kind"]])
    # The client drops what it does not know.
    assert api.sanitize_for_serialization(read) == manifest
