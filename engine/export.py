"""An InternVL2 checkpoint as an OpenVINO folder: no torch, a second for nano.

```
 config.json, *.safetensors ─▶ openvino_vision_embeddings_model.{xml,bin}   pixels → picture tokens
                            ├▶ openvino_text_embeddings_model.{xml,bin}     ids → word vectors
                            └▶ openvino_language_model.{xml,bin}            vectors → logits
 tokenizer.json, …  copied   (openvino_tokenizer, openvino_detokenizer: `engine.genai`)
```

The folder is what optimum-intel would write, so OpenVINO GenAI's VLMPipeline reads it too, once
`genai.add_tokenizers` has run. The language model must be InternLM2.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openvino as ov

from engine import graph, tiling
from engine.weights import Weights
from foodcritic.errors import ModelError

#: Raise it when `engine.graph` builds something else: cached folders are then built again.
VERSION = 1
LANGUAGE = "openvino_language_model"
VISION = "openvino_vision_embeddings_model"
WORDS = "openvino_text_embeddings_model"
#: Copied where the checkpoint has them.
COPIED = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "foodcritic.json",
    "README.md",
)
#: Bytes that a disk with room takes.
PROBE = 2**20
_BUILT_FROM = {".json", ".safetensors", ".jinja"}


def export(checkpoint: Path, folder: Path, precision: graph.Precision = "fp16") -> None:
    """Build `folder` from a checkpoint folder; it appears whole or not at all.

    `int8` keeps the language model's matrices in 8 bits, one scale a row: half the size and, for
    models of hundreds of millions of parameters, faster; nano is better off with `fp16`.

    Raises:
        ModelError: the checkpoint is incomplete or no InternVL2 over InternLM2, or `folder` holds
            something else.
        OSError: it cannot be written, where the disk is full for one.
    """
    config = _config(checkpoint)
    weights = Weights(checkpoint)
    _has_tokenizer(checkpoint)
    if folder.exists() and not is_exported(folder) and any(folder.iterdir()):
        raise ModelError(f"{folder} holds something else: name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
        part = Path(name) / "model"
        part.mkdir()
        build: dict[
            str, Callable[[], ov.Model]
        ] = {  # one at a time: they are as large as the weights
            VISION: lambda: graph.vision(weights, config),
            WORDS: lambda: graph.words(weights),
            LANGUAGE: lambda: graph.language(weights, config["llm_config"], precision),
        }
        for title, built in build.items():
            _save(built(), part / f"{title}.xml")
        for file in COPIED:
            if (checkpoint / file).exists():
                shutil.copyfile(checkpoint / file, part / file)
        if not (part / "preprocessor_config.json").exists():
            _write_preprocessor(part, config)
        if folder.exists():
            folder.rename(Path(name) / "old")
        part.rename(folder)


def _save(model: ov.Model, file: Path) -> None:
    try:
        ov.save_model(model, file, compress_to_fp16=False)
    except RuntimeError:
        # A stream of C++ does not say what it could not write for; a file of Python's does.
        try:
            (file.parent / "probe").write_bytes(bytes(PROBE))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file.with_suffix(".bin"))) from error
        raise


def check(path: Path) -> None:
    """Refuse what is no model for the CPU engine, as far as can be told before it is built.

    Raises:
        ModelError: as `export`, or there is no such folder.
    """
    if not path.is_dir():
        raise ModelError(
            f"there is no model folder {path}: FOODCRITIC_MODEL names one where a CPU answers, "
            "for nothing is downloaded then"
        )
    if not is_exported(path):
        _config(path)
        Weights(path)
        _has_tokenizer(path)


def cached(checkpoint: Path, models: Path) -> Path:
    """The OpenVINO folder of a checkpoint, under `models`, built on first use.

    Its name is a hash of what it is built from, so a changed checkpoint gets a new one. Two
    processes may build the same at once; one result stays.

    Raises:
        ModelError: as `export`.
    """
    folder = place(checkpoint, models)
    if not is_exported(folder):
        try:
            export(checkpoint, folder)
        except OSError:
            if not is_exported(folder):  # else another process was faster
                raise
    return folder


def place(checkpoint: Path, models: Path) -> Path:
    """Where `cached` builds the folder of a checkpoint."""
    digest = hashlib.sha256(f"{VERSION} {ov.__version__}\n".encode())
    for path in sorted(checkpoint.iterdir()):
        if path.suffix in _BUILT_FROM:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.name} {content}\n".encode())
    return models / f"openvino-{digest.hexdigest()[:16]}"


def is_exported(folder: Path) -> bool:
    """Whether the folder holds an OpenVINO vision-language model."""
    return all((folder / f"{name}.xml").is_file() for name in (LANGUAGE, VISION, WORDS))


def _config(checkpoint: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{checkpoint} holds no readable config.json: {error}") from error
    kind = (config.get("llm_config") or {}).get("architectures") or [config.get("model_type")]
    if kind[0] is None:
        raise ModelError(f"{checkpoint}: its config.json names no model")
    if kind[0] != "InternLM2ForCausalLM":
        raise ModelError(
            f"{checkpoint} is a {kind[0]}: only InternVL2 over InternLM2 is built here; convert "
            "others with optimum-intel and use the folder it writes"
        )
    return config


def _has_tokenizer(checkpoint: Path) -> None:
    if not (checkpoint / "tokenizer.json").is_file():
        raise ModelError(
            f"{checkpoint} holds no tokenizer.json, and no other tokenizer is read here: convert "
            "it with optimum-intel and use the folder it writes"
        )


def _write_preprocessor(folder: Path, config: Mapping[str, Any]) -> None:
    side = config.get("force_image_size") or config["vision_config"]["image_size"]
    settings = {
        "crop_size": {"height": side, "width": side},
        "size": {"shortest_edge": side},
        "image_mean": tiling.MEAN,
        "image_std": tiling.STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
