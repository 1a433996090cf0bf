"""A hostile host: what it can do to each ABI, by very many calls and by what it may write."""

from hypkit.attack.fuzz import Finding, Report, Target, fuzz
from hypkit.attack.matrix import Matrix, matrix
from hypkit.attack.outcomes import Outcome, Verdict

__all__ = ["Finding", "Matrix", "Outcome", "Report", "Target", "Verdict", "fuzz", "matrix"]
