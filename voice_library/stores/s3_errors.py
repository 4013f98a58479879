"""boto3's errors in our words: which ones pass, and what the user should do about the others.

It never quotes a reply's text, which may hold the access key's id or a signed request; only its code and status.
"""

from __future__ import annotations

from voice_library.errors import StorageUnavailable

PASSING_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded", "BadDigest"}
REMEDIES = {
    "NoSuchBucket": "it does not exist; create it or correct BUCKET_NAME",
    "InvalidBucketName": "the store refuses this name; correct BUCKET_NAME",
    "InvalidAccessKeyId": "the store does not know this key; correct BUCKET_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the key's two halves do not belong together; correct BUCKET_SECRET_ACCESS_KEY",
    "ExpiredToken": "the key has expired; make a new one",
    "AccessDenied": "this key may not do that; it needs GetObject, PutObject, DeleteObject and ListBucket (docs/s3.md)",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "AuthorizationHeaderMalformed": "the region is wrong; set BUCKET_REGION",
    "PermanentRedirect": "the bucket lies in another region; correct BUCKET_ENDPOINT_URL and BUCKET_REGION",
    "QuotaExceeded": "its quota is used up; free space or raise the quota",
    "EntityTooLarge": "the store refuses an object of this size; use a shorter recording",
}
REMEDIES_BY_STATUS = {
    401: REMEDIES["AccessDenied"],
    403: REMEDIES["AccessDenied"],
    301: REMEDIES["PermanentRedirect"],
    400: "the store refused the request; check BUCKET_ENDPOINT_URL, BUCKET_NAME and BUCKET_REGION",
    429: "the store asks for fewer requests; try again later",
    507: REMEDIES["QuotaExceeded"],
}
UNREACHABLE = "it could not be reached; check BUCKET_ENDPOINT_URL and the network, then try again"
UNTRUSTED = "its certificate is not trusted; name the right certificates in BUCKET_CA_BUNDLE"


def boto_errors() -> tuple[type[Exception], ...]:
    """Everything that boto3 raises for what a store or the network did; ValueError is its word for a bad address."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, ValueError


def status_of(error: BaseException | None) -> int:
    """The HTTP status of a reply that came; 0 where none came."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or _code_of(error) == "NoSuchBucket":  # also a 404, but never an absent object
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later: 5xx, throttling, a broken or refused connection."""
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from botocore.exceptions import HTTPClientError, IncompleteReadError, SSLError

    if isinstance(error, SSLError):
        return False
    if isinstance(error, (HTTPClientError, BotoConnectionError, IncompleteReadError)):
        return True
    return status_of(error) >= 500 or status_of(error) == 429 or _code_of(error) in PASSING_CODES


def unavailable(description: str, error: BaseException) -> StorageUnavailable:
    """The error a user sees: the bucket, what the store said in one word, and what to do."""
    from botocore.exceptions import SSLError

    code, status = _code_of(error), status_of(error)
    if isinstance(error, SSLError):
        return StorageUnavailable(f"{description}: {UNTRUSTED}")
    if code in REMEDIES:
        return StorageUnavailable(f"{description} ({code}): {REMEDIES[code]}")
    if not status:
        return StorageUnavailable(f"{description} ({type(error).__name__}): {UNREACHABLE}")
    remedy = REMEDIES_BY_STATUS.get(status, "the store failed; nothing was acknowledged; try again later")
    return StorageUnavailable(f"{description} (HTTP {status} {code}): {remedy}")


def _code_of(error: BaseException | None) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
