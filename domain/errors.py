"""Every error that Sightline raises on purpose.

SightlineError
├── InvalidInput               what was sent cannot be accepted; nothing was stored
│   ├── InvalidRequest         a field of the request itself
│   ├── RequestTooLarge        more bytes than one request may have
│   ├── RequestTooSlow         its bytes do not come
│   ├── UnknownApplication
│   ├── InvalidParameters      a parameter of the application
│   └── ImageRejected
│       ├── ImageEmpty
│       ├── ImageUnreadable    not an image, damaged, or cut off
│       ├── ImageFormatRefused a format outside the allow-list
│       ├── ImageTooLarge      bytes, pixels or frames over the limit
│       ├── DicomUnreadable    not DICOM, damaged, or without a picture that can be shown
│       └── TransferSyntaxRefused  DICOM pixels packed in a way that nothing installed unpacks
├── NotFound
├── Conflict                   the state of things forbids it
│   ├── IdempotencyConflict
│   └── TransitionRefused
├── AccessRefused
│   ├── Unauthenticated
│   └── Forbidden
├── BacklogFull                too much is waiting; carries `retry_after_s`
├── Unavailable                a part of the system does not answer; a retry can help
│   ├── StorageUnavailable
│   │   └── StatementGivenUp   the database answers, but gave up on this: it took too long or is too much
│   ├── StorageFull
│   └── ImageMissing           a row names an image that the store, which answers, does not have
├── BrokerUnsafe               the broker is set so that it would lose messages
├── ImageDamaged               what the store has is not what was sent
├── OriginalUnreadable         an original of patient data was sealed under another key, or is not sealed
├── RunError                   a job's run ended in an error
│   ├── ModelError             a model failed on this input
│   │   └── LanguageUnserved   a translator does not serve these languages
│   ├── ModelUnavailable       a model could not be loaded or reached; a retry can help
│   ├── DeviceOutOfMemory      even a batch of one did not fit
│   ├── RegistrationFailed     a picture and its reference cannot be laid over each other
│   ├── ResultRefused          the result cannot be stored (NaN, NUL, not JSON)
│   └── RunCrashed             an unexpected exception; a retry can help
└── RunStopped                 a checkpoint ended the run: cancelled, superseded or fenced

An error carries a stable `code`, whether a retry can help, and its facts in `details`; nobody parses its text. How an
error looks over HTTP is decided at the edge (`gateway/api/problems.py`).
"""

from typing import Any, ClassVar


class SightlineError(Exception):
    """The base. `code` is stable across releases; `retryable` says whether the same call may succeed later."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:  # noqa: ANN401  (any JSON value)
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(SightlineError):
    """What was sent cannot be accepted; nothing was stored."""

    code = "invalid_input"


class InvalidRequest(InvalidInput):
    """A field of the request itself is missing, unknown or malformed."""

    code = "invalid_request"


class RequestTooLarge(InvalidInput):
    """More bytes than one request may have."""

    code = "request_too_large"


class RequestTooSlow(InvalidInput):
    """The bytes of a request did not come in time."""

    code = "request_too_slow"
    retryable = True


class UnknownApplication(InvalidInput):
    """No application has that name."""

    code = "unknown_application"


class InvalidParameters(InvalidInput):
    """A parameter that the application does not know, or a value that it cannot take."""

    code = "invalid_parameters"


class ImageRejected(InvalidInput):
    """An image that cannot be taken in."""

    code = "image_rejected"


class ImageEmpty(ImageRejected):
    """A file of no bytes."""

    code = "image_empty"


class ImageUnreadable(ImageRejected):
    """Not an image, damaged, or cut off before its end."""

    code = "image_unreadable"


class ImageFormatRefused(ImageRejected):
    """An image in a format outside the allow-list."""

    code = "image_format_refused"


class ImageTooLarge(ImageRejected):
    """More bytes, pixels or frames than the limits allow."""

    code = "image_too_large"


class DicomUnreadable(ImageRejected):
    """Not a DICOM file, damaged or cut off, or without a picture that can be shown."""

    code = "dicom_unreadable"


class TransferSyntaxRefused(ImageRejected):
    """The pixels of a DICOM file are packed in a way (a transfer syntax) that nothing installed here unpacks."""

    code = "transfer_syntax_refused"


class NotFound(SightlineError):
    """Nothing of that name belongs to the caller."""

    code = "not_found"


class Conflict(SightlineError):
    """The state of things forbids it."""

    code = "conflict"


class IdempotencyConflict(Conflict):
    """The same idempotency key came with another request."""

    code = "idempotency_conflict"


class TransitionRefused(Conflict):
    """A job in this state cannot do that."""

    code = "transition_refused"


class AccessRefused(SightlineError):
    """The caller may not do this."""

    code = "access_refused"


class Unauthenticated(AccessRefused):
    """No key, or one that is unknown or revoked."""

    code = "unauthenticated"


class Forbidden(AccessRefused):
    """The key lacks the scope."""

    code = "forbidden"


class BacklogFull(SightlineError):
    """The tenant has as many waiting jobs as its limit allows."""

    code = "backlog_full"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class Unavailable(SightlineError):
    """A part of the system does not answer; a retry can help."""

    code = "unavailable"
    retryable = True


class StorageUnavailable(Unavailable):
    """The database or the image store does not answer."""

    code = "storage_unavailable"


class StatementGivenUp(StorageUnavailable):
    """The database gave up on one statement: it took too long, or is more than its limits allow."""

    code = "statement_given_up"


class StorageFull(Unavailable):
    """The disk beneath the database or the image store is full."""

    code = "storage_full"


class ImageMissing(Unavailable):
    """The image store answers, and does not have the bytes of this image now, or cannot read them."""

    code = "image_missing"


class BrokerUnsafe(SightlineError):
    """The broker is set so that it would lose messages by itself."""

    code = "broker_unsafe"


class ImageDamaged(SightlineError):
    """The bytes that the image store has are not those that were sent; send the image again."""

    code = "image_damaged"


class OriginalUnreadable(SightlineError):
    """An original of patient data cannot be unsealed: another key, no key, or not what was sealed."""

    code = "original_unreadable"


class RunError(SightlineError):
    """A job's run ended in an error."""

    code = "run_error"


class ModelError(RunError):
    """A model failed on this input; it would fail again."""

    code = "model_error"


class LanguageUnserved(ModelError):
    """A translator does not translate between these languages."""

    code = "language_unserved"


class ModelUnavailable(RunError):
    """A model could not be loaded or reached; a retry can help."""

    code = "model_unavailable"
    retryable = True


class DeviceOutOfMemory(RunError):
    """Even a batch of one did not fit on the device."""

    code = "device_out_of_memory"
    retryable = True


class RegistrationFailed(RunError):
    """A picture and its reference cannot be laid over each other: they do not show the same, or show nothing."""

    code = "registration_failed"


class ResultRefused(RunError):
    """The result cannot be stored: NaN, NUL, or not JSON."""

    code = "result_refused"


class RunCrashed(RunError):
    """An exception that nobody expected; a retry can help."""

    code = "run_crashed"
    retryable = True


class RunStopped(SightlineError):
    """A checkpoint ended the run. `reason` is `cancelled`, `superseded` or `fenced`."""

    code = "run_stopped"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the run was stopped: {reason}", reason=reason)
        self.reason = reason
