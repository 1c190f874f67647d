"""Models in the form that onnx and openvino run, made once a machine from the published weights and kept on disk."""

import hashlib
import logging
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from pgpipe.distribution import install
from pgpipe.embed.model.files import readable, require_data
from pgpipe.embed.model.location import fetched, fingerprint
from pgpipe.errors import ModelError
from pgpipe.log import get_logger
from pgpipe.settings.model import EmbeddingSettings, full_name

FORMAT = 1  # of what lies in the cache; a higher number exports again
PACKAGES = {"onnx": "optimum-onnx, onnxruntime", "onnx-int8": "optimum-onnx, onnxruntime", "openvino": "optimum-intel"}
NEEDS = {"onnx": "optimum.onnxruntime", "onnx-int8": "optimum.onnxruntime", "openvino": "optimum.intel"}
CPU_FLAGS = {"avx512_vnni": "avx512_vnni", "avx_vnni": "avx512_vnni", "avx512f": "avx512"}  # else avx2
log = get_logger(__name__)


def exported(settings: EmbeddingSettings, provider: str) -> Path:
    """The folder of a model that the settings' backend loads as it is; exported first where it is not there.

    Two processes that need the same one do not make it twice, and neither sees half of it: it is made in a folder
    beside and renamed.

    Args:
        settings: model, backend, and the folder of the cache.
        provider: of onnxruntime.

    Raises:
        ModelRefused: the repository needs more than data.
        ModelError: the folder cannot be written, or the packages of the backend are not installed.
    """
    backend = settings.backend
    source = fetched(settings)
    variant = quantization() if backend == "onnx-int8" else ""
    identity = f"{FORMAT} {fingerprint(source)} {variant}"
    key = f"{full_name(settings.model).strip('/').replace('/', '--')}-{backend}-{_short(identity)}"
    folder = (settings.cache_dir or platformdirs.user_cache_path("pgpipe")) / "exported" / key
    try:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f"{key}.lock")):
                if not folder.exists():
                    log.info("exporting model", model=settings.model, backend=backend, folder=str(folder))
                    _publish(folder, lambda to: _export(settings, source, variant, provider, to))
    except OSError as exc:
        raise ModelError(f"{folder.parent} cannot hold the exported model: {exc}; set embedding.cache_dir") from exc
    require_data(settings, folder, weights=False)  # an earlier version exported what has code as well
    return folder


def quantization() -> str:
    """The int8 arithmetic of this machine's processor, in the words of optimum."""
    if platform.machine().lower() in {"arm64", "aarch64"}:
        return "arm64"
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8").split() if info.exists() else []
    return next((name for flag, name in CPU_FLAGS.items() if flag in flags), "avx2")


def _short(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _publish(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all; what earlier attempts left is taken away (the caller holds the lock)."""
    for leftover in folder.parent.glob(f"{folder.name}.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        make(beside)
        beside.chmod(0o755)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _export(settings: EmbeddingSettings, source: Path, variant: str, provider: str, to: Path) -> None:
    require_packages(settings.backend)
    from sentence_transformers import SentenceTransformer

    form: Any = "openvino" if settings.backend == "openvino" else "onnx"
    options = {"provider": provider} if form == "onnx" else {}
    for name in ("sentence_transformers", "optimum", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they advise to keep the export, which is what is done here
    with warnings.catch_warnings(), readable(settings, source) as folder:
        warnings.simplefilter("ignore")  # of the tracer, about constants
        try:
            model = SentenceTransformer(
                str(folder),
                backend=form,
                local_files_only=True,
                trust_remote_code=settings.trusted,
                model_kwargs={"export": True, **options},
            )
        except ModuleNotFoundError as exc:
            raise missing(settings.backend) from exc
        model.save_pretrained(str(to), create_model_card=False)
        if variant:
            _quantize(model, variant, to)


def _quantize(model: Any, variant: str, to: Path) -> None:  # noqa: ANN401 - a class of the library's
    """Put int8 weights in the place of the float ones."""
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    export_dynamic_quantized_onnx_model(model, variant, str(to), file_suffix="int8")
    (to / "onnx" / "model_int8.onnx").rename(to / "onnx" / "model.onnx")


def require_packages(backend: str) -> None:
    """See that the library can export the model, and run it.

    Raises:
        ModelError: a package is not installed.
    """
    if find_spec("optimum") is None or find_spec(NEEDS[backend]) is None:
        raise missing(backend)


def missing(backend: str) -> ModelError:
    """The error of a backend whose packages are not installed."""
    extra = backend.partition("-")[0]
    return ModelError(f"the backend {backend} needs {PACKAGES[backend]}, which are not installed: {install(extra)}")
