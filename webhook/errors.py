"""What can be wrong with a request, named by what is to be answered."""

from typing import Final, Literal

Reason = Literal["", "annotation", "object", "review", "content-type", "fault"]
"""Why a request was not admitted, in one of few words, as metrics need it."""


MAX_SENTENCE: Final = 1000
"""Characters; longer ones have a user's value in them that nobody will read to its end."""


class _SentenceError(Exception):
    """An error that is told to whoever asked, in one sentence."""

    def __init__(self, sentence: str) -> None:
        half = MAX_SENTENCE // 2
        whole = len(sentence) <= MAX_SENTENCE
        super().__init__(sentence if whole else f"{sentence[:half]} … {sentence[-half:]}")


class DeniedError(_SentenceError):
    """Deny the request: the message is one sentence for the user whose object it is."""

    def __init__(self, sentence: str, reason: Reason = "object") -> None:
        """Say what has to change: an annotation of ours, or else something in the object."""
        super().__init__(sentence)
        self.reason = reason


class MalformedReviewError(_SentenceError):
    """Answer 400: the body is no AdmissionReview that this path takes."""
