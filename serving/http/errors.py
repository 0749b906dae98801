"""Statuses: what a client is told when it gets no answer."""

from http import HTTPStatus

from genre_classifier.audio import AudioError
from serving.errors import ServiceError

CLIENT_CLOSED_REQUEST = 499  # as nginx has it: nobody was there to be answered

STATUS_OF_AUDIO_ERROR = {
    "missing": HTTPStatus.BAD_REQUEST,
    "undecodable": HTTPStatus.BAD_REQUEST,
    "too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_costly": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_short": HTTPStatus.UNPROCESSABLE_ENTITY,
    "silent": HTTPStatus.UNPROCESSABLE_ENTITY,
}
STATUS_OF_SERVICE_ERROR = {
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "late": HTTPStatus.SERVICE_UNAVAILABLE,
    "restarting": HTTPStatus.SERVICE_UNAVAILABLE,
    "stopping": HTTPStatus.SERVICE_UNAVAILABLE,
    "full": HTTPStatus.SERVICE_UNAVAILABLE,
    "slow_upload": HTTPStatus.REQUEST_TIMEOUT,
}


class RequestError(Exception):
    """A request that is answered with an error's status and one sentence."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Say in one sentence what to do about it."""
        super().__init__(message)
        self.status = int(status)
        self.headers = headers or {}


EXPECTED_ERRORS = (RequestError, AudioError, ServiceError)


def as_request_error(error: Exception) -> RequestError:
    """Choose the status of one of the expected errors."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, AudioError):
        return RequestError(STATUS_OF_AUDIO_ERROR[error.kind], str(error))
    assert isinstance(error, ServiceError)
    status = STATUS_OF_SERVICE_ERROR[error.kind]
    headers = {"Retry-After": str(error.retry_after)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return RequestError(status, str(error), headers)
