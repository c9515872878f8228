"""Links: each leads to its resource, under the prefix of a proxy too."""

from __future__ import annotations

import json

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.describe import resource
from seedpoint.service.api.links import Links
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from tests.support.running import mlp


def test_names_are_quoted_and_a_tensor_keeps_its_slashes() -> None:
    links = Links("/under")
    assert links.file("1f", "a b.json") == "/under/v1/checkpoints/1f/files/a%20b.json"
    assert links.tensor("1f", "a/b.weight") == "/under/v1/checkpoints/1f/tensors/a%2Fb.weight"
    assert Links().checkpoints(5, "x=") == "/v1/checkpoints?limit=5&cursor=x="


def test_the_links_of_a_resource_come_before_its_totals() -> None:
    planned = make_plan(parse_spec(mlp(1) | {"max_shard_size": 20_480}))
    plan = planned.plan
    checkpoint = Checkpoint(plan.id, plan, layout(plan), Evaluator(plan, planned.blobs))
    for root in ("", "/under"):
        links = Links(root)
        first, rest = links.within(checkpoint, checkpoint.resource)
        whole = first + bytes(rest)
        described = resource(plan, links.of_checkpoint(plan.id, checkpoint.layout.files))
        assert json.loads(whole) == json.loads(json.dumps(described))
        assert list(json.loads(whole)) == list(described)
        assert rest.obj is checkpoint.resource
