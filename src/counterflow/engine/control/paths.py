"""How a dispatch reaches its cars: which kind of profile suits a target."""

from itertools import pairwise

from counterflow.domain.instructions import DispatchInstruction


def moves(instruction: DispatchInstruction, now_s: float, gap_s: float) -> bool:
    """Does the target move, so that a Dynamic profile pays (ADR: dynamic profiles)?

    It does while two of its changes lie within `gap_s` of each other and the later of them is at most `gap_s` ago or to come. A single
    amendment is no movement; a stream always is.
    """
    if instruction.stream is not None:
        return True
    changes_s = [step.from_s for step in instruction.steps[1:]]
    return any(later - earlier <= gap_s and later >= now_s - gap_s for earlier, later in pairwise(changes_s))
