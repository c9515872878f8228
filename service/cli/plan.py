"""Command `seedpoint plan`."""

from __future__ import annotations

import typer

from seedpoint.service.cli.exit_codes import faults_as_exit_codes
from seedpoint.service.cli.specs import Seed, Spec, planned_with_names, read_document
from seedpoint.service.cli.terminal import (
    AsJson,
    console,
    print_about,
    print_json,
    print_warnings,
    room,
)


def plan(spec: Spec, seed: Seed = None, as_json: AsJson = False) -> None:
    """Show the tensors of a spec's plan; generate nothing.

    Each has its rule, resolved arguments, fans and expected std. Below are the names that
    expressions may use, with their values.
    """
    from seedpoint.models.files.layout import layout
    from seedpoint.models.statistics.describe import resource
    from seedpoint.service.api.links import Links
    from seedpoint.service.cli.expression_names import lines
    from seedpoint.service.cli.tables import plan_table

    with faults_as_exit_codes():
        made, names = planned_with_names(read_document(spec, seed))
        found = made.plan
        document = resource(found, Links().of_checkpoint(found.id, layout(found).files))
    if as_json:
        for tensor in document["tensors"]:
            tensor["names"] = dict(names.layers[tensor["name"]])
        print_json(document | {"names": names.document()})
        return
    shown = console()
    shown.print(plan_table(document, room(shown)))
    for line in lines(names, document["tensors"]):
        typer.echo(line)
    print_about(document)
    shown.print(f"id {document['id']}")
    print_warnings(document)
