"""The language model, one step at a time: prompts in, logits out, keys and values kept between.

A `Session` is one OpenVINO request with a state of its own, so that several answers run at once;
`likeliest` runs many prompts in one session, padded on the left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from engine import sampling

#: Beams a prompt: enough that the third candidate is right.
BEAMS = 6
#: Dish names are shorter than this, in tokens.
LONGEST_NAME = 24


def only_last(model: ov.Model) -> ov.Model:
    """The same language model with logits (batch, 1, vocabulary): of the last position only.

    The head is the largest matrix of a small model; a prompt needs it once, not once a token.
    """
    node = model.output("logits").get_node().input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    last = op.slice(
        node.input_value(0),
        op.constant(np.array([-1])),
        op.constant(np.array([np.iinfo(np.int64).max])),
        op.constant(np.array([1])),
        op.constant(np.array([1])),
    )
    node.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()
    return model


class Session:
    """One conversation's state in the language model. Not for two threads at a time."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._request = model.create_infer_request()
        self._mask = np.ones((1, 0), np.int64)
        self._places = np.zeros(1, np.int64)
        self._rows = np.zeros(1, np.int32)
        self._length = 0

    def start(
        self, vectors: NDArray[np.float32], lengths: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Read prompts (batch, length, hidden); logits (batch, vocabulary) of what comes next.

        `lengths` are the true lengths of prompts padded on the left.
        """
        batch, length, _ = vectors.shape
        self._request.reset_state()
        self._mask = np.ones((batch, max(256, 2 * length)), np.int64)
        places = np.arange(length)[None].repeat(batch, 0)
        if lengths is not None:
            pad = length - np.array(lengths)[:, None]
            self._mask[:, :length] = places >= pad
            places = np.maximum(places - pad, 0)
        self._length, self._places = length, places[:, -1] + 1
        self._rows = np.arange(batch, dtype=np.int32)
        return self._infer(vectors, places, self._rows)

    def step(
        self, vectors: NDArray[np.float32], rows: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        """One more token each, (batch, 1, hidden), after the `rows` of the last call."""
        if rows is not None:
            self._mask, self._places = self._mask[rows], self._places[rows]
            self._rows = np.arange(len(rows), dtype=np.int32)
        if self._length == self._mask.shape[1]:
            more = np.ones_like(self._mask)
            self._mask = np.concatenate([self._mask, more], 1)
        self._length += 1
        logits = self._infer(vectors, self._places[:, None], self._rows if rows is None else rows)
        self._places = self._places + 1
        return logits

    def forget(self) -> None:
        """Give the memory of the state back."""
        self._request.reset_state()

    def _infer(
        self, vectors: NDArray[np.float32], places: NDArray[np.int64], rows: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        given = {  # shared with the request, not copied: they must live until it is done
            "inputs_embeds": vectors,
            "attention_mask": np.ascontiguousarray(self._mask[:, : self._length]),
            "position_ids": places,
            "beam_idx": rows,
        }
        for name, array in given.items():
            self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_output_tensor(0).data
        return logits[:, -1]


@dataclass(frozen=True, slots=True)
class _Beam:
    ids: tuple[int, ...]
    score: float


def likeliest(
    session: Session,
    prompts: Sequence[NDArray[np.float32]],
    embed: Callable[[Sequence[int]], NDArray[np.float32]],
    ends: frozenset[int],
    *,
    count: int,
    temperature: float = 1.0,
) -> list[list[tuple[tuple[int, ...], float]]]:
    """For each prompt (length, hidden), the likeliest short answers: ids and probability.

    Beam search that ends when no open beam can still overtake the `count` best that ended. The
    probability is of the whole answer with its end, under logits divided by `temperature`.
    """
    width = max(BEAMS, count)
    scores = sampling.log_softmax(session.start(*padded(prompts)), temperature)
    open_: list[list[_Beam]] = [[_Beam((), 0.0)] for _ in prompts]
    ended: list[list[_Beam]] = [[] for _ in prompts]
    for _ in range(LONGEST_NAME):
        rows, row = list[int](), 0
        for i, beams in enumerate(open_):
            if not beams:
                continue
            grown = np.array([b.score for b in beams])[:, None] + scores[row : row + len(beams)]
            # Enough that `width` stay open even if every end token is among them.
            best = np.argpartition(-grown, width + len(ends), None)[: width + len(ends)]
            best = best[np.argsort(-grown.ravel()[best], kind="stable")]
            next_ = list[_Beam]()
            for flat in best:
                parent, token = divmod(int(flat), grown.shape[1])
                beam = _Beam((*beams[parent].ids, token), float(grown[parent, token]))
                if token in ends:
                    ended[i].append(beam)
                elif len(next_) < width:
                    next_.append(beam)
                    rows.append(row + parent)
            row += len(beams)
            ended[i].sort(key=lambda b: -b.score)
            if len(ended[i]) >= count and next_[0].score <= ended[i][count - 1].score:
                del rows[len(rows) - len(next_) :]
                next_ = []
            open_[i] = next_
        if not rows:
            break
        tokens = [beam.ids[-1] for beams in open_ for beam in beams]
        logits = session.step(embed(tokens)[:, None], np.array(rows, np.int32))
        scores = sampling.log_softmax(logits, temperature)
    session.forget()
    return [
        [(beam.ids[:-1], float(np.exp(beam.score))) for beam in beams[:count]] for beams in ended
    ]


def padded(
    prompts: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], list[int] | None]:
    """Prompts of (length, hidden) as one array, zeros on the left, and their lengths."""
    lengths = [len(p) for p in prompts]
    longest = max(lengths)
    if min(lengths) == longest:
        return np.stack(prompts), None
    whole = np.zeros((len(prompts), longest, prompts[0].shape[1]), np.float32)
    for row, prompt in zip(whole, prompts, strict=True):
        row[longest - len(prompt) :] = prompt
    return whole, lengths
