"""The architectures of the real table that a test needs."""

SUPPORTED_ARCHS = {"InternLM2ForCausalLM": "internlm2"}
