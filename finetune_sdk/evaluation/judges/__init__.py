"""Judges: any model that says how good an answer is, or which of two is the better one.

What is judged comes from elsewhere. It is quoted as data (`quoting`), and what the judge says is read to the letter (`verdicts`).
"""

from finetune_sdk.evaluation.judges.pairwise import PairwiseJudge
from finetune_sdk.evaluation.judges.rubric import RUBRIC, Judge

__all__ = ["RUBRIC", "Judge", "PairwiseJudge"]
