"""How good a picture is, seen by a network that takes no part in the optimization."""

from layered_nst.judge.named import NamedJudge, Seer, load_judge
from layered_nst.judge.network import Judge
from layered_nst.judge.scoring import ProductScore, RegionScore, Ruler, Score, score, score_file

__all__ = [
    "Judge",
    "NamedJudge",
    "ProductScore",
    "RegionScore",
    "Ruler",
    "Score",
    "Seer",
    "load_judge",
    "score",
    "score_file",
]
