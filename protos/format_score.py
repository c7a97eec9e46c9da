"""Scores of policies as text, for several programs."""

from protos.hds import v1


def format_score(score: v1.PolicyScore) -> str:
    """Return success and cost on the plant with 95 % intervals, as text."""
    if not score.episodes:
        return f"{score.not_judged} episodes, none judged" if score.not_judged else "not tried"
    rest = f", {score.not_judged} more not judged" if score.not_judged else ""
    success = f"{score.success:.2f} ({score.success_low:.2f} to {score.success_high:.2f})"
    cost = f"{score.cost:.4g} ({score.cost_low:.4g} to {score.cost_high:.4g})"
    return f"success {success}, cost {cost}, {score.episodes} episodes{rest}"
