"""OpenVINO's own tokenizer graphs for a model folder, as OpenVINO GenAI wants them.

Our engine reads tokenizer.json by itself; these are for whoever runs the folder with GenAI, and for
the test that it gives the same answers there. Built from tokenizer.json with openvino_tokenizers'
parts (its own converter needs transformers), for byte-level BPE, which is what nano has.
"""

import json
from pathlib import Path
from typing import Any

import openvino as ov

from foodcritic.errors import ModelError


def add_tokenizers(folder: Path) -> None:
    """Write openvino_tokenizer and openvino_detokenizer (xml and bin) beside tokenizer.json.

    Raises:
        ModelError: the tokenizer is of another kind than byte-level BPE.
    """
    from openvino_tokenizers import tokenizer_pipeline as steps
    from openvino_tokenizers import utils
    from openvino_tokenizers.constants import UTF8ReplaceMode

    try:
        described: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        kind, splitter = described["model"]["type"], described["pre_tokenizer"]["type"]
        added = {token["id"]: token for token in described["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / 'tokenizer.json'} is unreadable: {error!r}") from error
    if (kind, splitter) != ("BPE", "ByteLevel") or described["normalizer"]:
        raise ModelError(f"{folder}: only byte-level BPE is built here, this is {kind}/{splitter}")
    # Longest first: a name that begins another must not cut it.
    whole = sorted((token["content"] for token in added.values()), key=len, reverse=True)
    special = [number for number, token in added.items() if token["special"]]
    pipeline = steps.TokenizerPipeline()
    pipeline.number_of_inputs = 1
    split = steps.SpecialTokensSplit.from_string_iter(whole)
    split.special_tokens.sort(key=lambda token: -len(token.text))
    pipeline.add_steps(split)
    pipeline.add_steps(steps.RegexSplitStep.byte_level_splitter())
    pipeline.add_steps(steps.BytesToCharsStep())
    pipeline.add_steps(steps.BPETokenizationStep.from_hf_json(described))
    pipeline.vocab = pipeline[-1].vocab
    pipeline.add_steps(steps.CombineSegmentsStep([steps.Sequence()], add_special_tokens=False))
    pad = next((n for n, token in added.items() if token["content"] == "</s>"), 0)
    pipeline.add_steps(steps.PaddingStep(token=added.get(pad, {}).get("content"), _token_id=pad))
    pipeline.add_steps(
        steps.VocabDecoderStep.from_hf_json(
            tokenizer_json=described,
            pipeline_vocab=pipeline.vocab,
            added_tokens={number: token["content"] for number, token in added.items()},
            skip_tokens=special,
            is_byte_level=True,
        )
    )
    pipeline.add_steps(steps.CharsToBytesStep())
    pipeline.add_steps(steps.UTF8ValidateStep(mode=UTF8ReplaceMode.REPLACE))
    there = pipeline.get_tokenizer_ov_subgraph()
    for output, name in zip(there.outputs, ("input_ids", "attention_mask"), strict=False):
        output.add_names({name})
    sinks = there.get_sinks()
    there = ov.Model(there.outputs[:2], there.get_parameters(), "tokenizer")
    there.add_sinks(sinks)
    there = utils.change_outputs_type(there, ov.Type.i64)
    back = utils.change_inputs_type(pipeline.get_detokenizer_ov_subgraph(), ov.Type.i64)
    ends = {token["content"]: number for number, token in added.items()}
    for graph in (there, back):
        for mark, name in (("eos", "</s>"), ("bos", "<s>"), ("pad", "</s>")):
            if name in ends:
                graph.set_rt_info(ends[name], f"{mark}_token_id")
    ov.save_model(there, folder / "openvino_tokenizer.xml")
    ov.save_model(back, folder / "openvino_detokenizer.xml")
