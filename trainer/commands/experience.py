"""`hds-trainer experience`, `tag` and `forget`."""

import datetime
import json
import math
import sys
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from trainer.client import LONG_CALL_S, CallFailed, TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.commands.selecting import Data
from trainer.report.lines import width


@dataclass(frozen=True)
class Experience:
    """Show what is recorded, per session and episode.

    Example: hds-trainer experience --data.tags cold-bearing --json
    """

    data: Data = field(default_factory=Data)
    task: str = ""
    """Only data for this task."""
    episodes: bool = False
    """Show every episode in the table; --json always does."""
    json: bool = False
    """Print JSON instead of a table: {"sessions": [...], "collect_s": ...}."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Print it."""
        client = TrainerClient(self.trainer, self.access)
        wanted = self.data.selection(self.task)
        summaries, episodes = client.sessions(wanted), client.episodes_of(wanted)
        by_session: dict[str, list[v1.Episode]] = {}
        for episode in episodes:
            by_session.setdefault(episode.session, []).append(episode)
        shown = [_session(summary, by_session.get(summary.session.id, [])) for summary in summaries]
        shown = [session for session in shown if session["episodes"]]
        seconds = sum(session["collect_s"] for session in shown)
        if self.json:
            print(json.dumps({"sessions": shown, "collect_s": seconds}, indent=2))
            return
        from trainer.report.experience_table import WIDE, experience_rows, experience_table

        if (wide := width()) < WIDE:
            print("\n".join(experience_rows(shown, self.episodes, wide)))
        else:
            from rich.console import Console

            Console(width=min(wide, 160)).print(experience_table(shown, self.episodes))
        print(f"{len(shown)} sessions, {seconds:.1f} s to learn from")


@dataclass(frozen=True)
class Tag:
    """Add a tag to a session, by which a refit may select it.

    Example: hds-trainer tag 3f2a cold-bearing
    """

    session: Annotated[str, tyro.conf.Positional]
    """The session, or the first letters of its id."""
    tag: Annotated[str, tyro.conf.Positional]
    """The tag."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Add it."""
        client = TrainerClient(self.trainer, self.access)
        session = client.session_named(self.session)
        client.call(client.experience.TagSession, v1.TagSessionRequest(session=session, tag=self.tag))
        print(f"session {session} has the tag {self.tag!r}")


@dataclass(frozen=True)
class Forget:
    """Delete the transitions of sessions for good. Nothing else deletes any.

    Ids and tags of the sessions stay, so that nothing of them is stored again. Backups and exported files
    are not touched.

    Example: hds-trainer forget --data.until 2026-01-01 --yes
    """

    data: Data = field(default_factory=Data)
    task: str = ""
    """Only data for this task."""
    yes: bool = False
    """Delete; without it, only what would be deleted is shown."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Delete, or say what would be."""
        if self.data.policies:
            raise ValueError("sessions are forgotten whole; --data.policies selects episodes of them")
        if self.data == Data() and not self.task:
            raise ValueError("say which: --data.sessions, --data.tags, --data.since, --data.until or --task")
        client = TrainerClient(self.trainer, self.access)
        found = client.sessions(self.data.selection(self.task))
        if not found:
            raise CallFailed("no session is selected; see 'hds-trainer experience'")
        names = [summary.session.id for summary in found]
        for summary in found:
            print(f"{summary.session.id}  {summary.steps} transitions")
        if not self.yes:
            print("nothing was deleted; --yes deletes these for good", file=sys.stderr)
            return
        request = v1.ForgetSessionsRequest(sessions=names)
        deleted = client.call(client.experience.ForgetSessions, request, LONG_CALL_S)
        assert isinstance(deleted, v1.ForgetSessionsResponse)
        print(f"deleted {deleted.deleted} transitions of {len(names)} sessions; they are not stored again")


def _session(summary: v1.SessionSummary, episodes: list[v1.Episode]) -> dict:
    """Return a session as plain data."""
    session, began = summary.session, summary.begun_unix_ns
    moment = datetime.datetime.fromtimestamp(began / 1e9).astimezone().isoformat(" ", "minutes")
    rows = [_episode(episode) for episode in episodes]
    seconds = {purpose: sum(row["seconds"] for row in rows if row["purpose"] == purpose)
               for purpose in ("collect", "evaluate")}  # fmt: skip
    return {
        "session": session.id,
        "task": session.task,
        "plant": session.plant.name,
        "source": session.source,
        "begun": moment if began else "",
        "tags": list(summary.tags),
        "collect_s": seconds["collect"],
        "evaluate_s": seconds["evaluate"],
        "fallback_steps": sum(row["fallback_steps"] for row in rows),
        "episodes": rows,
    }


def _episode(episode: v1.Episode) -> dict:
    return {
        "episode": episode.episode,
        "purpose": v1.Purpose.Name(episode.purpose).removeprefix("PURPOSE_").lower(),
        "steps": episode.steps,
        "seconds": round(episode.seconds, 6),
        "return": None if math.isnan(episode.cost) else -episode.cost,
        "success": episode.success if episode.judged else None,
        "end": v1.EndCause.Name(episode.end).removeprefix("END_CAUSE_").lower(),
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "policies": list(episode.policy_versions),
        "fallback_steps": episode.fallback_steps,
    }
