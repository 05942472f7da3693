"""What can be wrong with a request, named by what is to be answered."""


class DeniedError(Exception):
    """Deny the request: the message is one sentence for the user whose object it is."""


class MalformedReviewError(Exception):
    """Answer 400: the body is no AdmissionReview that this path takes."""
