"""skops: opened only when every type in it is known to be harmless or named in ``model.trusted_types``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.errors import SpecError
from xai_audit.loaders.estimators import open_estimator
from xai_audit.loaders.facts import NO_ARTEFACT
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.trees import FaultyTreeError, check_archive, check_estimator

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Opened

BUILT_IN = {
    "numpy.dtype": "describes memory; builds nothing",
    "collections.OrderedDict": "a mapping",
    "sklearn.utils._bunch.Bunch": "a mapping with attributes",
    "sklearn.calibration._CalibratedClassifier": "plain Python around an estimator that is checked itself",
    "sklearn.calibration._SigmoidCalibration": "two numbers",
    "sklearn.compose._column_transformer._RemainderColsList": "a list of columns",
    "sklearn.compose._column_transformer.make_column_selector": "a pattern that only fitting reads",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer": "numbers that only fitting reads",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer": "numbers that only fitting reads",
    "sklearn.utils.validation.check_array": "a function that checks an array; histogram boosting keeps it",
    "functools.partial": "binds arguments to a function that must be trusted itself",
    # skops leaves the last two out because node indices in a crafted file make compiled code read out of
    # bounds. Here every index is checked: those of Tree in the archive before anything is built, those of
    # TreePredictor, which is plain Python until it predicts, after loading.
    "sklearn.tree._tree.Tree": "its nodes are checked before it is built",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": "its nodes are checked before use",
}
"""Types trusted without being named, each with the reason."""


def open_model(mistakes: Mistakes) -> Opened:
    """The model of a skops file; SpecError names each type that is not trusted and the YAML to trust it."""
    spec = mistakes.spec.model
    assert spec.path is not None
    data, sha256 = content(mistakes.spec.resolve(spec.path), spec.path, spec.sha256, "model.path", mistakes)
    if not data.startswith(b"PK"):
        mistakes.at("model.path", f"{spec.path} is no skops file (which is a zip archive)")
        raise SpecError(mistakes.told())
    from skops import io as skops

    try:
        unknown = skops.get_untrusted_types(data=data)
        _refuse(sorted(set(unknown) - set(BUILT_IN) - set(spec.trusted_types)), mistakes)
        check_archive(data)
        estimator = skops.loads(data, trusted=sorted(unknown))
        check_estimator(estimator)
    except FaultyTreeError as error:
        what = f"{spec.path} is refused: {error}; the file is damaged or was made to do harm"
        mistakes.at("model.path", what)
        raise SpecError(mistakes.told()) from None
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged archive may fail anywhere in reading
        reason = (str(error).splitlines() or [""])[0][:200]
        what = f"{spec.path} cannot be read as skops: {type(error).__name__}: {reason}"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told()) from None
    trusted = {
        "built_in": sorted(set(unknown) & set(BUILT_IN)),
        "spec": sorted(set(unknown) & set(spec.trusted_types) - set(BUILT_IN)),
    }
    artefact = {**NO_ARTEFACT, "untrusted_types": sorted(unknown), "trusted": trusted}
    notes = (f"types trusted by the spec: {', '.join(trusted['spec'])}",) if trusted["spec"] else ()
    return open_estimator(estimator, "skops", sha256, mistakes, artefact=artefact, notes=notes)


def _refuse(types: list[str], mistakes: Mistakes) -> None:
    """Raise SpecError where types are left that nobody trusts."""
    if types:
        listed = ", ".join(types)
        what = (
            f"{mistakes.spec.model.path} holds types that are not trusted: {listed}; if you know where it "
            f"comes from, write under model: trusted_types: [{listed}]"
        )
        mistakes.at("model.trusted_types", what)
        raise SpecError(mistakes.told())
