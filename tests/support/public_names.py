"""Every public name with its parameters, a line each: python tests/support/public_names.py > tests/public_api.txt"""

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

# Modules, and what has to be installed for them.
MODULES = {
    "sigmax": "numpy",
    "sigmax.dask": "dask",
    "sigmax.sklearn": "sklearn",
    "sigmax.torch": "torch",
}


def shown(signature: inspect.Signature) -> str:
    """A signature without its types."""
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def own_attributes(cls: type) -> dict[str, Any]:
    """What our classes define, without what a library gives them."""
    ours = [base for base in cls.__mro__[::-1] if base.__module__.startswith("sigmax")]
    return {k: v for base in ours for k, v in vars(base).items() if not k.startswith("_")}


def lines_of(name: str, thing: Any) -> Iterator[str]:
    if isinstance(thing, np.ufunc):
        yield f"{name}: a ufunc of {thing.nin}"
    elif inspect.isclass(thing):
        yield f"{name}{shown(inspect.signature(thing))}"
        for attribute, value in sorted(own_attributes(thing).items()):
            value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if inspect.isfunction(value):
                yield f"{name}.{attribute}{shown(inspect.signature(value))}"
            elif isinstance(value, property):
                yield f"{name}.{attribute}"
    else:
        yield f"{name}{shown(inspect.signature(thing))}"


def of_module(module: ModuleType) -> list[str]:
    names = sorted(module.__all__)
    return [
        line
        for name in names
        for line in lines_of(f"{module.__name__}.{name}", getattr(module, name))
    ]


def of_command() -> list[str]:
    """Commands and their options, without the help."""
    import typer.main

    from sigmax.cli.commands import app

    commands = sorted(typer.main.get_command(app).commands.items())
    return [
        f"$ sigmax {name} {' '.join('/'.join(option.opts) for option in command.params)}".rstrip()
        for name, command in commands
    ]


def public_names() -> dict[str, list[str]]:
    """By module, of those whose libraries are installed."""
    found = {"sigmax.cli": of_command()} if importlib.util.find_spec("typer") else {}
    for name, needed in MODULES.items():
        if importlib.util.find_spec(needed):
            found[name] = of_module(importlib.import_module(name))
    return found


if __name__ == "__main__":
    print(*(line for lines in public_names().values() for line in lines), sep="\n")
