"""Nano: an InternVL2 of 11 million parameters, small enough to ship in the repository.

`modeling_internvl_chat.py` and `configuration_internvl_chat.py` are its architecture in PyTorch
(for training and LMDeploy), copied into every checkpoint folder; `model/` is the shipped
checkpoint. None of that code runs when nano answers: `engine.export` builds the OpenVINO model from
the weights alone.
"""

from pathlib import Path

#: The shipped checkpoint: config.json, model.safetensors, tokenizer.json and the code beside them.
MODEL = Path(__file__).parent / "model"
#: What a checkpoint folder needs to load with `trust_remote_code`; merging tools leave it behind.
CODE = tuple(
    Path(__file__).parent / name
    for name in ("configuration_internvl_chat.py", "modeling_internvl_chat.py")
)
