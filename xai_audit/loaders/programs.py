"""What files of PyTorch hold: tensors by name, exported programs, TorchScript; read from bytes that were digested."""

from __future__ import annotations

import copy
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from xai_audit import digest
from xai_audit.loaders.artefact import scan, usual
from xai_audit.loaders.networks import quiet

if TYPE_CHECKING:
    import torch

Kind = Literal["weights", "export", "script"]


class UnreadableError(Exception):
    """A file that holds no network or weights; the message says what it holds."""


def kind_of(data: bytes) -> Kind:
    """What a file of PyTorch holds, by the names inside its archive."""
    if _safetensors(data) or not zipfile.is_zipfile(io.BytesIO(data)):
        return "weights"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
    except _BROKEN:
        return "weights"  # whoever reads it tells
    if any(name == "archive_format" or name.startswith("models/") for name in inside):
        return "export"
    return (
        "script"
        if "constants.pkl" in inside or any(name.startswith("code/") for name in inside)
        else "weights"
    )


def _safetensors(data: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a header, then a header of that length."""
    # The length alone can begin like a pickle (0x80) or an archive (PK).
    return 0 < int.from_bytes(data[:8], "little") <= len(data) - 8 and data[8:9] == b"{"


_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
)
"""What zipfile raises of an archive that is not whole."""


def weights(data: bytes) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The tensors of safetensors, or of a state dict that torch reads without running code, and what was unwrapped."""
    import torch

    if _safetensors(data) or not data.startswith((b"PK", b"\x80")):
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return load(data), ()
        except SafetensorError as error:
            reason = (str(error).splitlines() or [""])[0][:150]
            raise UnreadableError(f"is neither safetensors ({reason}) nor a file of torch") from None
    try:
        with quiet():
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch raises many types
        raise UnreadableError(_pickled(data, error)) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            return dict(found[key]), (f"of the checkpoint the part {key!r} is taken",)
    if not isinstance(found, Mapping) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise UnreadableError(f"holds {type(found).__name__} and no state dict of tensors")
    return dict(found), ()


_OWN = ("torch._utils.", "torch.storage.", "torch.serialization.", "collections.OrderedDict")
"""What the pickle of a state dict imports."""


def _pickled(data: bytes, error: Exception) -> str:
    """Why a pickle is no state dict: the classes in it that are not of a state dict, else what torch says."""
    inner = data
    if zipfile.is_zipfile(io.BytesIO(data)):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                inner = archive.read(names[0]) if names else b""
        except _BROKEN as broken:
            return f"is an archive that is not whole: {(str(broken).splitlines() or [''])[0][:150]}"
    strange = sorted(
        name
        for name in scan(inner).found
        if not usual(name) and not name.startswith(_OWN) and not _STORAGE.fullmatch(name)
    )
    if not strange:
        return f"cannot be read by torch: {(str(error).splitlines() or [''])[0][:150]}"
    listed = ", ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
    return (
        f"holds pickled objects ({listed}), which only running code can open; save model.state_dict() as safetensors, "
        "and name what builds the network as entry"
    )


_STORAGE = re.compile(r"torch\.\w+(Storage)?")


def program(data: bytes, kind: Kind) -> torch.nn.Module:
    """The module of an exported program, unflattened so that its modules can be named, or of TorchScript."""
    import torch

    with quiet():
        if kind == "script":
            found = torch.jit.load(io.BytesIO(data), map_location="cpu")
            names = tuple(one.name for one in found.forward.schema.arguments[1:])
            return _plain(found, (), (), names, None)
        exported = torch.export.load(io.BytesIO(data))
        args, kwargs = exported.call_spec.in_spec.children()
        keys = tuple(kwargs.context)
        given = tuple(str(name) for name in exported.graph_signature.user_inputs)
        sizes = [
            node.meta["val"].shape[0]
            for node in exported.graph.nodes
            if node.op == "placeholder" and node.name in given and getattr(node.meta["val"], "ndim", 0)
        ]
        module = torch.export.unflatten(exported)
        for part in module.modules():
            for node in getattr(getattr(part, "graph", None), "nodes", ()):
                # Made-up tensors of symbolic size, which can be neither copied nor pickled.
                node.meta = {}
    # A dynamic size is no int.
    fixed = min((size for size in sizes if isinstance(size, int)), default=None)
    return _plain(module, given[: args.num_children], keys, (*given[: args.num_children], *keys), fixed)


def _plain(
    inner: torch.nn.Module,
    args: tuple[str, ...],
    keys: tuple[str, ...],
    names: tuple[str, ...],
    fixed: int | None,
) -> torch.nn.Module:
    """A plain module around one that minds how it is called, or that no hook can watch; modules keep their paths."""
    import torch

    class Program(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.names, self.fixed = names, fixed
            if args or keys:
                # Parameters, buffers and modules are the program's own, under their own paths.
                for part in ("_parameters", "_buffers", "_modules"):
                    self.__dict__[part] = inner.__dict__[part]
                self.__dict__["program_"] = inner
            else:
                self.program_ = inner

        def __deepcopy__(self, memo: dict[int, Any]) -> Program:
            made = type(self).__new__(type(self))
            memo[id(self)] = made
            with quiet():
                made.__dict__ = copy.deepcopy(self.__dict__, memo)
            return made

        def forward(self, *given: Any, **named: Any) -> Any:
            named = {**dict(zip(names, given, strict=False)), **named}
            if not args and not keys:
                return self.program_(**named)
            return self.program_(*(named[name] for name in args), **{key: named[key] for key in keys})

    return Program()


def state_digest(module: torch.nn.Module) -> str:
    """One digest over all parameters and buffers, by name."""
    import torch

    parts = []
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            parts.append(digest.of_bytes(f"{name} {value.dtype} {tuple(value.shape)}\n".encode() + raw))
    return digest.joined(parts)
