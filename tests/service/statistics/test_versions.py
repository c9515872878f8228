"""Statistics that an older version stored: computed anew, never given out."""

from __future__ import annotations

import json

from seedpoint.service.statistics.passes import VERSION
from tests.support.running import Running, mlp


def test_statistics_of_an_older_version_are_computed_anew(service: Running) -> None:
    resource = service.issue(mlp(4711), Prefer="return=minimal").json()
    older = json.dumps({"tensors": {}, "layers": {}, "totals": {}, "files": {}})
    service.state.store.put_statistics(resource["id"], older.encode())
    found = service.http.get(resource["links"]["statistics"], headers={"Prefer": "wait=60"})
    assert found.status_code == 200
    assert found.json()["version"] == VERSION
    assert all(tensor["pass"] for tensor in found.json()["tensors"].values())
    kept = service.state.store.statistics(resource["id"])
    assert kept is not None
    assert json.loads(kept) == found.json()
    report = service.http.get(resource["links"]["report"], headers={"Prefer": "wait=60"})
    assert report.status_code == 200
    assert "share of what is allowed" in report.text
