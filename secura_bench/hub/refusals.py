"""What the Hub's refusals mean, and what can be done about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secura_bench.hub.cache import Repository

TOKENS = "huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Refusal:
    """What was asked for: a repository, at a revision, perhaps a file of it."""

    repository: Repository
    revision: str
    path: str | None = None

    def explain(self, status: int, headers: Mapping[str, str], token: bool) -> str:
        """Return cause and way out, from an answer's status and headers and whether a token was sent with it."""
        code, said = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")
        message = "".join(filter(str.isprintable, said)).strip().rstrip(".")
        page = f"huggingface.co/{self.repository.place}"
        if code == "RevisionNotFound":
            return f"it has no revision {self.revision!r} (any more); {page}/commits lists those there are."
        if code == "EntryNotFound":
            tree = f"{page}/tree/{self.revision}"
            return f"it has no file {self.path or message!r} at {self.revision}; {tree} lists those there are."
        if status == 401 and token and code != "GatedRepo":
            return (
                f"the token is not valid ({message or 'refused'}): it is mistyped, has expired or was revoked. Make "
                f"another one at {TOKENS} and set HF_TOKEN; without any, what is public can be fetched."
            )
        if code == "GatedRepo" and not token:
            return (
                f"it is gated, and no token was found. Accept its licence at {page}, make a token at {TOKENS} and set "
                f"HF_TOKEN."
            )
        if status == 403 and "fine-grained" in message.lower():
            return (
                f"the token has no access to gated repositories ({message}). Allow that in the token's settings at "
                f"{TOKENS}, or set HF_TOKEN to one of the kind 'Read'."
            )
        if code == "GatedRepo":
            return (
                f"it is gated, and the token's account has not been given access ({message or 'refused'}). Accept its "
                f"licence at {page}; some are granted by hand, after a while."
            )
        if code == "RepoNotFound" or status in (401, 404):
            what = self.repository.words.removesuffix(f" {self.repository.id}")
            gone = f"there is no such {what} on the Hub (any more), or it is private and"
            if token:
                return f"{gone} the token's account may not see it. Look at {page}."
            return f"{gone} no token was found. Look at {page}; for a private one, set HF_TOKEN."
        if status == 403:
            return f"the token has no access to it ({message or 'refused'}); its settings are at {TOKENS}."
        return f"the Hub refuses it: {status} {message}".rstrip() + "."
