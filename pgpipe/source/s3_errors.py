"""What S3 and botocore say, in one line each: what is wrong, and which right, setting or step is missing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NoConnection

from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.source import SourceSettings

BUSY = 500  # status codes from here on are the server's own trouble
SLOW = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "TooManyRequests"}
OVERWRITTEN = "it was overwritten while it was read; load again"
OTHER_REGION = "the bucket is in another region: set source.region"
REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "NoSuchAccessPoint": "the access point does not exist",
    "404": "the bucket or key does not exist",
    "NoSuchKey": "the object is gone",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidToken": "the session token does not belong to the access key: check AWS_SESSION_TOKEN",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it (timedatectl set-ntp true)",
    "PermanentRedirect": OTHER_REGION,
    "AuthorizationHeaderMalformed": OTHER_REGION,
    "InvalidObjectState": "the object is archived: restore it from Glacier, then load again",
    "KMS.DisabledException": "the KMS key that it is encrypted with is disabled: enable the key",
    "KMS.NotFoundException": "the KMS key that it is encrypted with does not exist any more",
    "KMS.KMSInvalidStateException": "the KMS key that it is encrypted with cannot be used; is it to be deleted?",
    "PreconditionFailed": OVERWRITTEN,
    "InvalidRange": OVERWRITTEN,
    "412": OVERWRITTEN,
}
DENIED = {"AccessDenied", "403", "AllAccessDisabled"}
RIGHTS = {"ListObjectsV2": "s3:ListBucket on the bucket", "GetObject": "s3:GetObject on its objects"}
PERFORM = re.compile(r"perform: (\w+:\w+)(?: on resource: \"?(arn:[^\s\"]+))?")  # how AWS names a missing right
OWN_KEY = "form of Server Side Encryption"  # how S3 says that the reader must bring the key


def lost(message: str, *, transient: bool = True) -> SourceError:
    """An error that a later try may not meet."""
    error = SourceError(message)
    error.transient = transient
    return error


@contextmanager
def valid_endpoint(url: str | None) -> Iterator[None]:
    """Turn what boto3 says of an address that it cannot read into ours."""
    try:
        yield
    except ValueError as exc:
        raise UsageError(f"source.endpoint_url is {url!r}; write http://host:port") from exc


@contextmanager
def translated(what: str, settings: SourceSettings) -> Iterator[None]:
    """Turn botocore's errors into ours, about this address."""
    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise lost(f"{what}: {_reason(exc, settings)}", transient=status >= BUSY or code in SLOW) from exc
    except NoCredentialsError as exc:
        raise SourceError(
            f"{what}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.profile,"
            " or source.anonymous = true for a public bucket"
        ) from exc
    except (NoConnection, HTTPClientError) as exc:
        raise lost(f"{what}: the server does not answer: {str(exc).splitlines()[0]}") from exc
    except BotoCoreError as exc:
        raise SourceError(f"{what}: {' '.join(str(exc).split())}") from exc


def _reason(exc: ClientError, settings: SourceSettings) -> str:
    error = exc.response.get("Error", {})
    code, message = error.get("Code", ""), error.get("Message", "")
    if code in DENIED:
        return f"access is denied: {_missing(exc.operation_name, message, settings)}"
    if OWN_KEY in message:
        return "it is encrypted with a key that only its writer has (SSE-C), so pgpipe cannot read it"
    return REASONS.get(code) or message or code


def _missing(operation: str, message: str, settings: SourceSettings) -> str:
    """What somebody who was refused lacks: the right that the server names, else all that it may be."""
    if named := PERFORM.search(message):
        right, where = named.groups()
        return f"the credentials need {right}{f' on {where}' if where else ''}"
    if settings.anonymous:
        return "it is not public; leave source.anonymous out and give credentials"
    needed = f"the credentials need {RIGHTS.get(operation, operation)}"
    if operation == "GetObject":
        needed += ", and kms:Decrypt on the key if they are encrypted with a KMS key"
    return needed if settings.request_payer else f"{needed}; if the requester pays, set source.request_payer = true"
