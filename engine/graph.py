"""The three OpenVINO graphs of an InternVL2, built node by node from its weights.

The formulas are those of `engine/nano/modeling_internvl_chat.py`, laid out in the shapes that the
CPU plugin fuses into one kernel each: RMS norm, rotary embedding, attention with its cache. Names,
inputs and outputs are those of optimum-intel, so OpenVINO GenAI reads the result too. Layer scales
are folded into the matrix before them, and the language model's q, k and v, interleaved in the
checkpoint, into blocks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from foodcritic.errors import ModelError

Array = NDArray[Any]
Precision = Literal["fp16", "int8"]
#: Hides a position from attention; finite, so that a row of nothing but padding is no NaN.
HIDDEN = np.float32(-65504)


def vision(weights: Mapping[str, Array], config: Mapping[str, Any]) -> ov.Model:
    """`pixel_values` (tiles, 3, image, image), normalised, to (tiles, tokens, LM hidden).

    Raises:
        ModelError: a weight is missing, or the encoder was trained at another resolution.
    """
    vit, shuffle = config["vision_config"], round(1 / config.get("downsample_ratio", 0.5))
    width, heads, patch = vit["hidden_size"], vit["num_attention_heads"], vit["patch_size"]
    size = config.get("force_image_size") or vit["image_size"]
    if size != vit["image_size"]:
        raise ModelError(f"force_image_size is {size}, but the encoder's is {vit['image_size']}")
    grid, eps = size // patch, vit.get("layer_norm_eps", 1e-6)

    def weight(name: str) -> Array:
        return weights[f"vision_model.{name}"].astype(np.float32)

    def norm(x: ov.Output, name: str) -> ov.Output:
        if vit.get("norm_type", "layer_norm") == "rms_norm":
            return rms_norm(x, weight(f"{name}.weight"), eps)
        return layer_norm(x, weight(f"{name}.weight"), weight(f"{name}.bias"), eps)

    def by_head(x: ov.Output) -> ov.Output:
        return transpose(reshape(x, 0, 0, heads, width // heads), 0, 2, 1, 3)

    pixels = op.parameter([-1, 3, size, size], np.float32, name="pixel_values")
    kernel = stored(weight("embeddings.patch_embedding.weight"))
    x = op.convolution(pixels, kernel, [patch, patch], [0, 0], [0, 0], [1, 1]).output(0)
    x = transpose(reshape(x, 0, width, grid * grid), 0, 2, 1)
    place = weight("embeddings.position_embedding")
    x = add(x, place[:, 1:] + weight("embeddings.patch_embedding.bias"))
    first = stored(weight("embeddings.class_embedding") + place[:, :1])
    first = op.broadcast(first, op.concat([length(pixels, 0), ints(1, width)], 0))
    x = op.concat([first, x], 1).output(0)
    last = config.get("select_layer", -1)
    for i in range(vit["num_hidden_layers"] + 1 + last if last < 0 else last):
        at = f"encoder.layers.{i}"
        qkv = weight(f"{at}.attn.qkv.bias") if vit.get("qkv_bias", True) else None
        y = linear(norm(x, f"{at}.norm1"), weight(f"{at}.attn.qkv.weight"), qkv)
        q, k, v = op.split(y, op.constant(2, np.int64), 3).outputs()
        if vit.get("qk_normalization"):
            q = rms_norm(q, weight(f"{at}.attn.q_norm.weight"), eps)
            k = rms_norm(k, weight(f"{at}.attn.k_norm.weight"), eps)
        y = op.scaled_dot_product_attention(by_head(q), by_head(k), by_head(v)).output(0)
        y = reshape(transpose(y, 0, 2, 1, 3), 0, 0, width)
        scale = weight(f"{at}.ls1")
        matrix = weight(f"{at}.attn.proj.weight") * scale[:, None]
        x = add(x, linear(y, matrix, weight(f"{at}.attn.proj.bias") * scale))
        y = linear(
            norm(x, f"{at}.norm2"), weight(f"{at}.mlp.fc1.weight"), weight(f"{at}.mlp.fc1.bias")
        )
        scale = weight(f"{at}.ls2")
        matrix = weight(f"{at}.mlp.fc2.weight") * scale[:, None]
        x = add(x, linear(gelu(y), matrix, weight(f"{at}.mlp.fc2.bias") * scale))
    x = op.slice(x, ints(1), ints(grid * grid + 1), ints(1), ints(1)).output(0)
    side = grid // shuffle
    x = reshape(x, 0, side, shuffle, side, shuffle, width)
    columns_first = config.get("ps_version", "v1") == "v1"
    x = transpose(x, *((0, 3, 1, 2, 4, 5) if columns_first else (0, 1, 3, 2, 4, 5)))
    x = reshape(x, 0, side * side, shuffle * shuffle * width)
    x = layer_norm(x, weights["mlp1.0.weight"], weights["mlp1.0.bias"], 1e-5)
    x = gelu(linear(x, weights["mlp1.1.weight"], weights["mlp1.1.bias"]))
    x = linear(x, weights["mlp1.3.weight"], weights["mlp1.3.bias"])
    return model("vision_embeddings", [pixels], {"last_hidden_state": x})


def words(weights: Mapping[str, Array]) -> ov.Model:
    """`input` (batch, length) of token ids to (batch, length, hidden)."""
    ids = op.parameter([-1, -1], np.int64, name="input")
    table = stored(weights["language_model.model.tok_embeddings.weight"])
    vectors = op.gather(table, ids, op.constant(0, np.int64)).output(0)
    return model("text_embeddings", [ids], {"inputs_embeds": vectors})


def language(
    weights: Mapping[str, Array], llm: Mapping[str, Any], precision: Precision = "fp16"
) -> ov.Model:
    """Word vectors to logits (batch, new, vocabulary); keys and values stay inside as state.

    Inputs: `inputs_embeds` (batch, new, hidden); `attention_mask` (batch, past + new), where 0
    hides padding; `position_ids` (batch, new); `beam_idx` (batch): which row of the state each row
    of this call continues.

    Raises:
        ModelError: a weight is missing.
    """
    heads, groups = llm["num_attention_heads"], llm["num_key_value_heads"]
    hidden, share = llm["hidden_size"], heads // groups
    size, eps = hidden // heads, llm.get("rms_norm_eps", 1e-5)
    biased = bool(llm.get("bias"))

    def weight(name: str) -> Array:
        return weights[f"language_model.{name}"].astype(np.float32)

    def layer(x: ov.Output, name: str) -> ov.Output:
        bias = weight(f"{name}.bias") if biased else None
        return linear(x, weight(f"{name}.weight"), bias, precision)

    def blocks(array: Array) -> Array:
        packed = array.reshape(groups, share + 2, size, -1)
        rows = [packed[:, :share], packed[:, share], packed[:, share + 1]]
        return np.concatenate([r.reshape(-1, packed.shape[-1]) for r in rows])

    vectors = op.parameter([-1, -1, hidden], np.float32, name="inputs_embeds")
    attended = op.parameter([-1, -1], np.int64, name="attention_mask")
    places = op.parameter([-1, -1], np.int64, name="position_ids")
    beams = op.parameter([-1], np.int32, name="beam_idx")
    cos, sin = rotary(places, size, llm)
    mask = visible(vectors, attended)
    empty = op.concat([length(vectors, 0), ints(groups, 0, size)], 0)
    empty = op.broadcast(op.constant(0, np.float32), empty)
    memory = ov.PartialShape([-1, groups, -1, size])
    ones = np.ones((1, 1, share, 1, 1), np.float32)
    sinks = []

    def remember(new: ov.Output, name: str) -> ov.Output:
        past = op.read_value(empty, name, ov.Type.f32, memory)
        past = op.gather(past, beams, op.constant(0, np.int64))
        whole = op.concat([past, new], 2)
        sinks.append(op.assign(whole, name))
        if share == 1:
            return whole.output(0)
        # Times one, not a Broadcast: only so does the plugin see attention over grouped queries.
        each = op.multiply(op.unsqueeze(whole, ints(2)), op.constant(ones))
        return reshape(each.output(0), 0, heads, -1, size)

    x = vectors.output(0)
    for i in range(llm["num_hidden_layers"]):
        at = f"model.layers.{i}"
        y = rms_norm(x, weight(f"{at}.attention_norm.weight"), eps)
        bias = blocks(weight(f"{at}.attention.wqkv.bias"))[:, 0] if biased else None
        y = linear(y, blocks(weight(f"{at}.attention.wqkv.weight")), bias, precision)
        y = transpose(reshape(y, 0, 0, heads + 2 * groups, size), 0, 2, 1, 3)
        counts = ints(heads, groups, groups)
        q, k, v = op.variadic_split(y, op.constant(1, np.int64), counts).outputs()
        k = remember(rotate(k, cos, sin, size), f"past_key_values.{i}.keypresent.{i}.key")
        v = remember(v, f"past_key_values.{i}.valuepresent.{i}.value")
        y = op.scaled_dot_product_attention(rotate(q, cos, sin, size), k, v, mask).output(0)
        y = reshape(transpose(y, 0, 2, 1, 3), 0, 0, hidden)
        x = add(x, layer(y, f"{at}.attention.wo"))
        y = rms_norm(x, weight(f"{at}.ffn_norm.weight"), eps)
        gate = op.swish(layer(y, f"{at}.feed_forward.w1"))
        y = op.multiply(gate, layer(y, f"{at}.feed_forward.w3")).output(0)
        x = add(x, layer(y, f"{at}.feed_forward.w2"))
    x = rms_norm(x, weight("model.norm.weight"), eps)
    head = "model.tok_embeddings" if llm.get("tie_word_embeddings") else "output"
    logits = linear(x, weight(f"{head}.weight"), None, precision)
    inputs = [vectors, attended, places, beams]
    return model("language_model", inputs, {"logits": logits}, sinks)


def rotary(places: ov.Node, size: int, llm: Mapping[str, Any]) -> tuple[ov.Output, ov.Output]:
    """Cosines and sines of rotary position embedding, each (batch, 1, new, size).

    A "dynamic" scaling changes nothing below `max_position_embeddings`, which is all we use.

    Raises:
        ModelError: the model scales its positions in a way not known here.
    """
    scaling = llm.get("rope_scaling") or {}
    kind = scaling.get("type", scaling.get("rope_type", "dynamic"))
    if kind not in ("dynamic", "linear", "default"):
        raise ModelError(f"rope_scaling of type {kind!r} is not built here")
    factor = scaling.get("factor", 1.0) if kind == "linear" else 1.0
    theta = llm.get("rope_theta", 10000.0)
    steps = (theta ** (-np.arange(0, size, 2) / size) / factor).astype(np.float32)
    angles = op.multiply(
        op.unsqueeze(op.convert(places, np.float32), ints(1, 3)), op.constant(steps[None, None])
    )
    angles = op.concat([angles, angles], -1)
    return op.cos(angles).output(0), op.sin(angles).output(0)


def rotate(x: ov.Output, cos: ov.Output, sin: ov.Output, size: int) -> ov.Output:
    """Turn queries or keys (batch, heads, new, size) by their places' angles."""
    halves = op.variadic_split(x, op.constant(-1, np.int64), ints(size // 2, size // 2))
    left, right = halves.outputs()
    turned = op.concat([op.multiply(right, op.constant(np.float32(-1))), left], -1)
    return op.add(op.multiply(x, cos), op.multiply(turned, sin)).output(0)


def visible(vectors: ov.Node, attended: ov.Node) -> ov.Output:
    """What to add to the attention scores, (batch, 1, new, past + new): 0 or `HIDDEN`."""
    new, whole = (op.squeeze(length(x, 1), ints(0)) for x in (vectors, attended))
    zero, one = op.constant(0, np.int64), op.constant(1, np.int64)
    there = op.range(zero, whole, one, "i64")
    here = op.unsqueeze(op.range(op.subtract(whole, new), whole, one, "i64"), ints(1))
    seen = op.unsqueeze(op.less_equal(there, here), ints(0, 1))
    kept = op.unsqueeze(op.not_equal(attended, zero), ints(1, 2))
    both = op.logical_and(seen, kept)
    return op.select(both, op.constant(np.float32(0)), op.constant(HIDDEN)).output(0)


def rms_norm(x: ov.Output, weight: Array, eps: float) -> ov.Output:
    squares = op.power(x, op.constant(np.float32(2)))
    mean = op.add(op.reduce_mean(squares, ints(-1), True), op.constant(np.float32(eps)))
    scale = op.divide(op.constant(np.float32(1)), op.sqrt(mean))
    return op.multiply(op.multiply(x, scale), stored(weight)).output(0)


def layer_norm(x: ov.Output, weight: Array, bias: Array, eps: float) -> ov.Output:
    y = op.mvn(x, ints(-1), True, eps, "inside_sqrt")
    return add(op.multiply(y, stored(weight)).output(0), bias)


def linear(
    x: ov.Output, weight: Array, bias: Array | None = None, precision: Precision = "fp16"
) -> ov.Output:
    """x · weightᵀ + bias."""
    matrix = stored(weight) if precision == "fp16" else stored_in_eight(weight)
    y = op.matmul(x, matrix, False, True).output(0)
    return y if bias is None else add(y, bias)


def stored(array: Array) -> ov.Output:
    """Weights kept in 16 bits, used in 32."""
    top = np.finfo(np.float16).max
    kept = op.constant(array.astype(np.float32).clip(-top, top).astype(np.float16))
    return op.convert(kept, np.float32).output(0)


def stored_in_eight(array: Array) -> ov.Output:
    """A matrix kept in 8 bits with one scale a row."""
    wide = array.astype(np.float32)
    scale = np.maximum(np.abs(wide).max(1, keepdims=True), 1e-8) / 127
    kept = op.convert(op.constant(np.rint(wide / scale).astype(np.int8)), np.float32)
    return op.multiply(kept, op.constant(scale)).output(0)


def gelu(x: ov.Output) -> ov.Output:
    return op.gelu(x, "erf").output(0)


def add(x: ov.Output, y: ov.Output | Array) -> ov.Output:
    return op.add(x, stored(y) if isinstance(y, np.ndarray) else y).output(0)


def reshape(x: ov.Output, *shape: int) -> ov.Output:
    """0 keeps the size of that axis."""
    return op.reshape(x, ints(*shape), special_zero=True).output(0)


def transpose(x: ov.Output, *order: int) -> ov.Output:
    return op.transpose(x, ints(*order)).output(0)


def ints(*values: int) -> ov.Output:
    return op.constant(np.array(values, np.int64)).output(0)


def length(x: ov.Node, axis: int) -> ov.Output:
    """The size of one axis, as a tensor of shape (1)."""
    shape = op.shape_of(x, "i64")
    return op.gather(shape, ints(axis), op.constant(0, np.int64)).output(0)


def model(
    name: str,
    inputs: Sequence[ov.Node],
    outputs: Mapping[str, ov.Output],
    sinks: Sequence[ov.Node] = (),
) -> ov.Model:
    """A graph whose inputs and outputs go by the names optimum-intel gives them."""
    results = []
    for title, output in outputs.items():
        output.get_tensor().set_names({title})
        results.append(op.result(output))
    for node in inputs:
        node.output(0).get_tensor().set_names({node.get_friendly_name()})
    return ov.Model(results, list(sinks), list(inputs), name)
