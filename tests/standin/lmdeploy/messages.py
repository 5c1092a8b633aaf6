"""Of the real module what we set as a default: a pydantic dataclass there, too."""

from pydantic.dataclasses import dataclass


@dataclass
class TurbomindEngineConfig:
    """The two fields that a test needs."""

    dtype: str = "auto"
    gemm_input_dtype: str | None = None

    def __post_init__(self) -> None:
        assert self.gemm_input_dtype in (None, "float16", "bfloat16", "float8_e4m3")
