"""Command `seedpoint plan`."""

from __future__ import annotations

from dataclasses import asdict

from seedpoint.service.cli.exit_codes import faults_as_exit_codes
from seedpoint.service.cli.specs import Blobs, Seed, Spec, opened, planned, read_document
from seedpoint.service.cli.terminal import AsJson, console, print_json, print_warnings, room


def plan(spec: Spec, seed: Seed = None, blob: Blobs = None, as_json: AsJson = False) -> None:
    """Show the tensors of a spec's plan; generate nothing.

    Each has its rule, resolved arguments, fans and expected std. The names of layers and configs
    that expressions may hold follow.
    """
    from seedpoint.models.files.layout import layout
    from seedpoint.models.statistics.describe import resource
    from seedpoint.service.api.links import Links
    from seedpoint.service.cli.tables import names_in_expressions, plan_table

    with faults_as_exit_codes():
        made = planned(read_document(spec, seed), opened(blob))
        found = made.plan
        document = resource(found, Links().of_checkpoint(found.id, layout(found).files))
    if as_json:
        print_json(document | {"names": asdict(made.names)})
        return
    shown = console()
    shown.print(plan_table(document, room(shown)))
    for line in names_in_expressions(made.names):
        shown.print(line)
    shown.print(f"id {document['id']}")
    print_warnings(document)
