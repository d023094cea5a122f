"""``xai-audit doctor``: what is installed and what is missing, before a run finds out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from xai_audit import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["ok", "optional", "missing"]

SIGNS = {"ok": "●", "optional": "○", "missing": "■"}

PANGO = (
    ("Debian, Ubuntu", "sudo apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"),
    ("Fedora", "sudo dnf install pango"),
    ("macOS", "brew install pango"),
    ("Windows", "install MSYS2, then in its shell: pacman -S mingw-w64-ucrt-x86_64-pango"),
)
"""What brings Pango to each system."""

CORE = (
    "click",
    "yaml:PyYAML",
    "pydantic",
    "jinja2:Jinja2",
    "numpy",
    "pandas",
    "scipy",
    "sklearn:scikit-learn",
    "pyarrow",
    "joblib",
    "skops",
    "shap",
    "lime",
    "matplotlib",
    "narwhals",
    "threadpoolctl",
    "rich",
    "junitparser",
)
"""Libraries every run may need: the module, and the distribution where it is called otherwise."""

EXTRAS = (
    ("xgboost", "xgboost", "boosting", "models of XGBoost"),
    ("lightgbm", "lightgbm", "boosting", "models of LightGBM"),
    ("catboost", "catboost", "boosting", "models of CatBoost"),
    ("onnxruntime", "onnxruntime", "onnx", "models in ONNX"),
    ("torch", "torch", "torch", "networks of PyTorch"),
    ("safetensors", "safetensors", "torch", "weights of networks, read without running code"),
    ("tokenizers", "tokenizers", "torch", "networks that read texts"),
    ("transformers", "transformers", "transformers", "Hugging Face folders"),
    ("mlflow", "mlflow-skinny", "mlflow", "audits on a model registry"),
)
"""Libraries some runs need: module, distribution, extra, and what for."""


@dataclass(frozen=True)
class Looked:
    """One thing that was looked for."""

    name: str
    state: State
    told: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Say what is installed and what is missing.

    Exits with 4 where something is missing that every run needs, else 0: without Pango the HTML is written
    and the PDF is not.
    """
    found = list(_everything())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            first, *more = one.told.splitlines()
            click.echo(f"{SIGNS[one.state]} {one.name:<{width}}  {first}")
            for line in more:
                click.echo(f"  {'':<{width}}  {line}")
    missing = [one.name for one in found if one.state == "missing"]
    if missing:
        click.echo(f"missing: {', '.join(missing)}", err=True)
        context.exit(4)


def _everything() -> Iterator[Looked]:
    yield Looked("xai-audit", "ok", __version__)
    version = ".".join(map(str, sys.version_info[:3]))
    new = sys.version_info >= (3, 11)
    yield Looked(
        "Python", "ok" if new else "missing", version if new else f"{version}; 3.11 or later is needed"
    )
    yield from map(_library, CORE)
    yield _data_folders()
    yield _pango()
    yield _fonts()
    for module, distribution, extra, purpose in EXTRAS:
        installed = _version(module, distribution)
        told = installed or f"not installed; pip install 'xai-audit[{extra}]' for {purpose}"
        yield Looked(distribution, "ok" if installed else "optional", told)
    yield _cuda()
    yield _disk()


def _version(module: str, distribution: str) -> str | None:
    """The version of an importable library, None where there is none."""
    from importlib import metadata, util

    if util.find_spec(module) is None:
        return None
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    # xgboost-cpu installs the module xgboost, and conda's packages have names of their own.
    for name in metadata.packages_distributions().get(module, ()):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "installed"


def _library(entry: str) -> Looked:
    module, _, distribution = entry.partition(":")
    name = distribution or module
    installed = _version(module, name)
    return Looked(name, "ok" if installed else "missing", installed or f"not installed; pip install {name}")


def _data_folders() -> Looked:
    from xai_audit.resources import folder

    try:
        found = folder("templates"), folder("policies")
    except FileNotFoundError as error:
        return Looked("templates", "missing", str(error))
    return Looked("templates", "ok", ", ".join(str(path) for path in found))


def _pango() -> Looked:
    """Whether the C libraries are there that WeasyPrint opens when it is imported."""
    try:
        weasyprint = importlib.import_module("weasyprint")
        ffi = importlib.import_module("weasyprint.text.ffi")
        number = int(ffi.pango.pango_version())
        if ffi.harfbuzz_subset is None:
            raise OSError("HarfBuzz-Subset is not there")  # noqa: TRY301  # told like the rest of them
    except ImportError:
        return Looked(
            "Pango", "optional", "WeasyPrint is not installed; pip install weasyprint; no PDF is written"
        )
    except (OSError, AttributeError) as error:
        lines = [f"not found, so no PDF is written ({str(error).splitlines()[0]})", "install it:"]
        lines += [f"  {system}: {line}" for system, line in PANGO]
        return Looked("Pango", "optional", "\n".join(lines))
    return Looked(
        "Pango",
        "ok",
        f"{number // 10000}.{number // 100 % 100}.{number % 100}, WeasyPrint {weasyprint.__version__}",
    )


def _fonts() -> Looked:
    """Whether the three families the report is set in are there."""
    families = (
        ("Source Serif", "font_source_serif_pro"),
        ("Source Sans", "font_source_sans_pro"),
        ("DejaVu", "matplotlib"),
    )
    absent = [f"{name} ({module})" for name, module in families if importlib.util.find_spec(module) is None]
    if absent:
        told = f"{', '.join(absent)} not installed; the report falls back on the system's fonts"
        return Looked("fonts", "optional", told)
    return Looked("fonts", "ok", ", ".join(name for name, _ in families))


def _cuda() -> Looked:
    if importlib.util.find_spec("torch") is None:
        return Looked("CUDA", "optional", "torch is not installed")
    try:
        torch = importlib.import_module("torch")
        there = bool(torch.cuda.is_available())
        told = str(torch.cuda.get_device_name(0)) if there else "no device; torch runs on the processor"
    except (ImportError, OSError, RuntimeError) as error:
        return Looked("CUDA", "optional", f"torch cannot be imported: {str(error).splitlines()[0]}")
    return Looked("CUDA", "ok" if there else "optional", told)


def _disk() -> Looked:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= 200_000_000
    told = f"{free / 1e9:,.1f} GB free here" + ("" if enough else "; an audit may need 0.2 GB")
    return Looked("disk", "ok" if enough else "missing", told)
