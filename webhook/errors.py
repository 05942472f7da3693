"""What can be wrong with a request, named by what is to be answered."""

from typing import Literal

Reason = Literal["", "annotation", "object", "review", "content-type", "fault"]
"""Why a request was not admitted, in one of few words, as metrics need it."""


class DeniedError(Exception):
    """Deny the request: the message is one sentence for the user whose object it is."""

    def __init__(self, sentence: str, reason: Reason = "object") -> None:
        """Say what has to change: an annotation of ours, or else something in the object."""
        super().__init__(sentence)
        self.reason = reason


class MalformedReviewError(Exception):
    """Answer 400: the body is no AdmissionReview that this path takes."""
