"""Teacher forcing: each answer token predicted from the reference's own beginning. What the paper measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secura_bench.evaluation.outcome import Judged
from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols.protocol import Asked
from secura_bench.evaluation.protocols.texts import TextProtocol, read_back, rouge_columns
from secura_bench.evaluation.text_metrics import CHAR_BLEU_SIGNATURE, char_bleu


class TeacherForced(TextProtocol):
    """One forward over prompt and reference answer."""

    def predict(self, asked: Asked) -> Iterator[Scored]:
        """Return the arg-max at each answer position, decoded."""
        from secura_bench.evaluation.predicting.teacher_forced import teacher_forced

        return teacher_forced(asked.model, asked.examples, asked.chat, asked.batch_size, asked.known)

    def judge(self, asked: Asked, predictions: Sequence[Prediction]) -> Judged:
        """Compare each text with the reference, or with what the context left of it."""
        chat, examples = asked.chat, read_back(asked)
        references = [chat.decode(e.answer_ids) if chat.is_cut(e) else e.row.target for e in examples]
        pairs = zip(predictions, references, strict=True)
        columns = {
            "accuracy": [100.0 * bool(prediction.correct) for prediction in predictions],
            "char_bleu": [char_bleu(prediction.text, reference) for prediction, reference in pairs],
            **rouge_columns(predictions, references, asked.file.tokenize),
            "loss": [prediction.loss for prediction in predictions],
        }
        return Judged(examples, [None] * len(examples), references, columns, {})


TEACHER_FORCED = TeacherForced(
    "teacher_forced",
    metrics=("char_bleu", "rouge1", "rougeL", "accuracy"),
    learned=("char_bleu", "accuracy"),
    meaning="every answer token is predicted from the reference's own beginning; high without any skill, not to be "
    "compared with generation",
    warning="every token is predicted from the reference's own beginning; high without any skill",
    no_claim="anything about what the models write: teacher-forced puts the reference's own beginning before each "
    "token, and is high without any skill; generate scores what is written",
    signatures={
        "accuracy": "all answer tokens right, end of turn included",
        "char_bleu": CHAR_BLEU_SIGNATURE,
        "loss": "nats a token, mean of rows",
    },
)
