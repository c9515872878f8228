"""Recipe of a timm model as `create_model` makes it, with the config that loads it again."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

from torch import nn

from seedpoint.models.architectures.forbidden_arguments import is_place
from seedpoint.models.architectures.pretrained_weights import said
from seedpoint.models.architectures.vision.building import check_arguments, constructed
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join
from seedpoint.models.validation.hints import one_of

# Arguments that `create_model` does not pass on to the model.
_FACTORY = frozenset({"scriptable", "exportable", "no_jit"})


@dataclass(frozen=True, slots=True)
class TimmRecipe:
    """Checked name and arguments of a timm model; see `external_models.Recipe`."""

    model: str
    args: Mapping[str, Any]
    root: str
    dtype: DType = BY_NAME["float32"]
    wide: DType = BY_NAME["float32"]
    warnings: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, model: str, args: Mapping[str, Any], root: str, max_modules: int) -> TimmRecipe:
        """Return the recipe of the architecture at the path `root`.

        Raises:
            SpecError: If the name or an argument is refused.
            LimitExceeded: If an argument counts more than `max_modules` layers.
        """
        _check_name(model, join(root, "model"))
        check_arguments(args, join(root, "args"), library="timm", max_modules=max_modules)
        return cls(model, args, root)

    @property
    def path(self) -> str:
        """Place of the model's name in the spec."""
        return join(self.root, "model")

    def make(self, dtype: DType) -> nn.Module:
        """Return `timm.create_model(model, **args)`."""
        from timm import create_model

        def make() -> nn.Module:
            made: nn.Module = create_model(self.model, **copy.deepcopy(dict(self.args)))
            return made

        return constructed(make, self.root, self.args)

    def dtypes(self, module: nn.Module, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """Return nothing: timm loads every tensor in the dtype it is stored in."""
        return {}

    def files(self, module: nn.Module) -> Mapping[str, str]:
        """Return `config.json` as timm writes it for a hub; nothing for models it cannot describe.

        Raises:
            SpecError: For arguments that timm takes but that its config writer refuses for the
                model.
        """
        given = {name: value for name, value in self.args.items() if value is not None}
        try:
            try:
                return {"config.json": _described(module, self.args)}
            except ValueError:
                if len(given) == len(self.args):
                    raise
                # `create_model` takes null for an omitted argument; timm's config writer does not.
                return {"config.json": _described(module, given)}
        except (AttributeError, KeyError):  # e.g. the wrapper of `features_only`
            return {}
        except ValueError as error:
            raise SpecError.at(join(self.root, "args"), said(error)) from error


def _described(module: nn.Module, args: Mapping[str, Any]) -> str:
    from timm.data import config as data_config
    from timm.models import _hub

    sink = _Sink()
    on_disk = mock.patch.object(_hub, "Path", lambda path: path)
    with on_disk, mock.patch.object(data_config, "_logger"):
        model_args = {name: value for name, value in args.items() if name not in _FACTORY}
        _hub.save_config_for_hf(module, sink, model_args=model_args)
    return sink.text


class _Sink:
    """Stand-in for the path that timm writes to, so that no disk is needed."""

    def __init__(self) -> None:
        self.text = ""

    def open(self, _: str) -> io.StringIO:
        """Return a file whose text is kept when it is closed."""
        sink = self

        class Text(io.StringIO):
            def close(self) -> None:
                sink.text = self.getvalue()
                super().close()

        return Text()


def _check_name(name: str, path: str) -> None:
    from timm import is_model, list_models

    if is_place(name):
        message = f"{name!r} is a location on a hub or a disk; expected the name of a timm model"
        raise SpecError.at(path, message)
    if not is_model(name):
        near = one_of(name.partition(".")[0], list_models())
        raise SpecError.at(path, f"timm has no model {name!r}; {near}")
