"""What can be wrong with a request, named by how it is answered."""

from typing import Final, Literal

Reason = Literal["", "annotation", "object", "review", "content-type", "fault"]
"""Why a request was not admitted, in one of a few words, as metrics need it."""


MAX_SENTENCE: Final = 1000
"""Characters; a longer one contains a user's value that nobody would read to its end."""


class _SentenceError(Exception):
    """An error whose message, one sentence, goes back to the caller."""

    def __init__(self, sentence: str) -> None:
        half = MAX_SENTENCE // 2
        whole = len(sentence) <= MAX_SENTENCE
        super().__init__(sentence if whole else f"{sentence[:half]} … {sentence[-half:]}")


class DeniedError(_SentenceError):
    """Deny the request: the message is one sentence for the user whose object it is."""

    def __init__(self, sentence: str, reason: Reason = "object") -> None:
        """`reason`: whether an annotation of ours has to change, or else the object."""
        super().__init__(sentence)
        self.reason = reason


class MalformedReviewError(_SentenceError):
    """Answer 400: the body is not an AdmissionReview that this path takes."""
