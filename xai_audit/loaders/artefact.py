"""What a pickle would import, read from its opcodes alone: nothing in the file is run.

A small machine follows the opcodes with placeholders for every class and call, through plain pickles and the
arrays that joblib writes between them, compressed or not.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

USUAL = frozenset(
    (
        *("sklearn", "numpy", "scipy", "pandas", "joblib", "xgboost", "lightgbm", "collections", "datetime"),
        *("copyreg", "copy_reg", "_codecs", "functools"),
    )
)
"""Top modules that fitted models are made of; what else is imported is listed by name."""
_PLAIN = frozenset(
    (
        *("list", "dict", "set", "frozenset", "tuple", "int", "float", "complex", "bool", "str", "bytes"),
        *("bytearray", "object", "slice", "range"),
    )
)
_DANGEROUS_MODULES = frozenset(
    (
        *(
            "os",
            "posix",
            "nt",
            "subprocess",
            "sys",
            "socket",
            "shutil",
            "pty",
            "commands",
            "ctypes",
            "_ctypes",
        ),
        *("runpy", "importlib", "code", "codeop", "webbrowser", "multiprocessing", "threading", "asyncio"),
        *(
            "signal",
            "http",
            "urllib",
            "urllib2",
            "requests",
            "pickle",
            "_pickle",
            "marshal",
            "shelve",
            "types",
        ),
        *("inspect", "pip", "platform", "tempfile", "pathlib", "io", "_io", "gc", "bdb", "pdb", "timeit"),
        *("trace", "site", "sqlite3", "smtplib", "ftplib", "imaplib", "telnetlib", "cloudpickle", "dill"),
        *("torch",),
    )
)
_DANGEROUS_NAMES = frozenset(
    (
        *("operator.attrgetter", "operator.methodcaller", "operator.itemgetter", "_operator.attrgetter"),
        *("_operator.methodcaller", "_operator.itemgetter", "functools.reduce", "numpy.load", "numpy.save"),
        *("numpy.fromfile", "numpy.loadtxt", "numpy.savetxt", "numpy.lib.npyio.load", "numpy.f2py.compile"),
        *("numpy.lib._npyio_impl.load", "numpy.testing.runstring", "numpy.testing._private.utils.runstring"),
        *("numpy.f2py.crackfortran.getlincoef", "pandas.eval", "pandas.core.computation.eval.eval"),
        *("pandas.read_pickle", "pandas.io.pickle.read_pickle", "joblib.load", "joblib.numpy_pickle.load"),
        *("joblib._utils.eval_expr",),
    )
)


@dataclass
class _Stand:
    """Stands for a class, a call's result or an object."""

    name: str = ""
    args: Any = ()
    state: Any = None

    def __call__(self, *args: Any, **_: Any) -> _Stand:
        return _Stand(self.name, args)

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...

    def update(self, *_: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass
class Scan:
    """What the opcodes would import."""

    found: set[str] = field(default_factory=set)
    incomplete: str | None = None
    """Why the end was not reached; None where it was."""

    def facts(self) -> dict[str, Any]:
        """For Subject.facts["artefact"]: imports outside the usual ones, and those that can run commands."""
        strange = sorted(name for name in self.found if not usual(name))
        return {
            "code_carrying": True,
            "globals": strange,
            "suspicious": sorted(name for name in self.found if dangerous(name)),
            "incomplete": self.incomplete,
        }


def usual(name: str) -> bool:
    """Whether fitted models commonly import this."""
    module, _, attribute = name.rpartition(".")
    if dangerous(name):
        return False
    if module in ("builtins", "__builtin__"):
        return attribute in _PLAIN
    return module.partition(".")[0] in USUAL


def dangerous(name: str) -> bool:
    """Whether this can run a command, load code, or reach files or the network."""
    module, _, attribute = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        return attribute not in _PLAIN
    if name in _DANGEROUS_NAMES:
        return True
    return module.partition(".")[0] in _DANGEROUS_MODULES


# The standard library's machine that is written in Python, whose steps can be replaced.
_Python: Any = pickle._Unpickler  # noqa: SLF001


class _Machine(_Python):  # type: ignore[misc]
    """Follows opcodes with placeholders in the place of every import, call and object."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, stream: io.BufferedIOBase | io.BytesIO, scan: Scan) -> None:
        super().__init__(stream)
        self.source = stream
        self.scan = scan

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        self.scan.found.add(full)
        # A class, because some opcodes ask for cls.__new__.
        return _Stand(full)

    def persistent_load(self, _: Any) -> Any:
        return _Stand("persistent")

    def get_extension(self, code: int) -> None:
        self.scan.found.add(f"copyreg.extension_{code}")
        self.append(_Stand("extension"))

    def load_reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        name = function.name if isinstance(function, _Stand) else type(function).__name__
        self.stack[-1] = _Stand(name, args)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_reduce()

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(_Stand(klass.name if isinstance(klass, _Stand) else "object", tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        thing = self.stack[-1]
        if not isinstance(thing, _Stand):
            return
        thing.state = state
        if thing.name == "joblib.numpy_pickle.NumpyArrayWrapper" and isinstance(state, dict):
            self._skip_array(state)
            thing.name = "numpy.ndarray"

    def _skip_array(self, state: dict[str, Any]) -> None:
        """Pass over the bytes of an array that joblib wrote into the stream."""
        dtype = state["dtype"]
        code = dtype.args[0] if isinstance(dtype, _Stand) else dtype
        if str(code).startswith("O"):
            _Machine(self.source, self.scan).load()
            return
        padding = state.get("numpy_array_alignment_bytes")
        if padding is not None:
            self.source.read(self.source.read(1)[0])
        size = int(np.dtype(str(code)).itemsize) * int(
            np.prod([int(side) for side in state["shape"]], dtype=object)
        )
        while size > 0:
            part = len(self.source.read(min(size, 1 << 24)))
            if not part:
                message = "the file ends inside an array"
                raise EOFError(message)
            size -= part

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build


def scan(data: bytes) -> Scan:
    """Every import a pickle or joblib file would make, without making any; compressed files are unpacked."""
    result = Scan()
    try:
        with _opened(data) as stream:
            machine = _Machine(stream, result)
            machine.load()
    except Exception as error:  # noqa: BLE001 - a broken or hostile file may fail anywhere; the scan says so
        result.incomplete = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
        _by_opcodes(data, result)
    return result


def _opened(data: bytes) -> Any:
    """A stream of the unpacked content."""
    import bz2
    import gzip
    import lzma
    import zlib

    if data.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=io.BytesIO(data))
    if data.startswith(b"BZh"):
        return bz2.BZ2File(io.BytesIO(data))
    if data.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        return lzma.LZMAFile(io.BytesIO(data))
    if data.startswith(b"\x78"):
        return io.BytesIO(zlib.decompress(data))
    return io.BytesIO(data)


def _by_opcodes(data: bytes, result: Scan) -> None:
    """The imports before the place where the machine stopped, for what it could not follow."""
    texts: list[str] = []
    try:
        with _opened(data) as stream:
            content = stream.read(1 << 28)
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "GLOBAL":
                result.found.add(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL" and len(texts) >= 2:
                result.found.add(f"{texts[-2]}.{texts[-1]}")
            elif isinstance(argument, str):
                texts.append(argument)
    except Exception:  # noqa: BLE001 - what was found until here stands; Scan.incomplete says it is not all
        return
