"""One file from an address to the disk, by libcurl: resumed, tried again, whole or not there."""

import hashlib
import logging
import os
import time
from pathlib import Path

import certifi
import pycurl

from sfsc.files import InputError
from sfsc.progress import progress

_log = logging.getLogger(__name__)

ATTEMPTS = 5
_STALLED_SECONDS = 60

# What another attempt cannot mend. Servers that are busy answer 408, 429 or 5xx.
_FINAL_ERRORS = (
    pycurl.E_UNSUPPORTED_PROTOCOL,
    pycurl.E_URL_MALFORMAT,
    pycurl.E_FILE_COULDNT_READ_FILE,
)
_UNTRUSTED = (pycurl.E_SSL_CACERT, pycurl.E_SSL_CACERT_BADFILE)

_AUTHORITIES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR")
"""Variables that name the certificates to trust, each a file or a folder; the first of them counts,
but of a file and a folder both, as with OpenSSL."""


def download(
    url: str, path: Path, most_bytes: int, checked: bool = True, pause: float = 1.0
) -> None:
    """Fetch `url` (http, https or file) to `path`, which is there only when it is whole.

    What an earlier call got from that address is kept next to it and continued. A failure that may
    pass is tried again, five attempts in all, after pauses of 1, 2, 4 and 8 times `pause` seconds.
    A file that nobody will have `checked` afterwards is not continued, and refused where the server
    does not say how long it is. Raises InputError for a failure that does not pass, and for more
    than `most_bytes`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of this address alone: the bytes of two sources do not belong together.
    part = path.with_name(f"{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:12]}.part")
    for attempt in range(ATTEMPTS):
        if not checked:
            part.unlink(missing_ok=True)
        try:
            _attempt(url, part, most_bytes, checked)
            part.replace(path)
            return
        except _FailedError as error:
            if error.final or attempt + 1 == ATTEMPTS:
                raise InputError(f"{url}: {error}; {error.advice}") from None
            _log.warning("%s: %s; trying again", url, error)
            time.sleep(pause * 2**attempt)


def md5_of(path: Path) -> str:
    """The MD5 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class _FailedError(Exception):
    def __init__(self, reason: str, final: bool, advice: str = "try again later"):
        super().__init__(reason)
        self.final, self.advice = final, advice


def _attempt(url: str, part: Path, most_bytes: int, checked: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    whole: list[int] = []
    curl = pycurl.Curl()
    # Unbuffered: what does not fit on the disk fails as curl writes it, not as the file is closed.
    with part.open("ab", buffering=0) as file, progress(None, part.name, "B", done=have) as bar:

        def moved(total: int, got: int, _upload: int, _uploaded: int) -> int:
            bar.total = have + total or None
            bar.update(have + got - bar.n)
            # The server need not say how much it will send.
            return int(have + got > most_bytes)

        def header(line: bytes) -> None:
            # What a server without more to send says: Content-Range: bytes */<all there is>.
            name, _, value = line.decode("latin1").partition(":")
            if name.lower() == "content-range" and value.strip().startswith("bytes */"):
                whole.append(int(value.rpartition("/")[2]))

        curl.setopt(pycurl.URL, url)
        for option, place in _authorities():
            curl.setopt(option, place)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS | pycurl.PROTO_FILE)
        curl.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, True)
        curl.setopt(pycurl.MAXREDIRS, 5)
        curl.setopt(pycurl.FAILONERROR, True)
        curl.setopt(pycurl.CONNECTTIMEOUT, _STALLED_SECONDS)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, _STALLED_SECONDS)
        curl.setopt(pycurl.RESUME_FROM_LARGE, have)
        curl.setopt(pycurl.WRITEDATA, file)
        curl.setopt(pycurl.HEADERFUNCTION, header)
        curl.setopt(pycurl.NOPROGRESS, False)
        curl.setopt(pycurl.XFERINFOFUNCTION, moved)
        code, reason = pycurl.E_OK, ""
        try:
            curl.perform()
        except pycurl.error as error:
            code, reason = error.args
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        length = curl.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        curl.close()
    if status == 416:
        if whole[-1:] == [have]:
            return
        # Fewer bytes than were kept: from the start, then.
        part.unlink()
        raise _FailedError("the server has fewer bytes than were kept", False)
    if code != pycurl.E_OK:
        if code in (pycurl.E_RANGE_ERROR, pycurl.E_ABORTED_BY_CALLBACK):
            part.unlink()
        raise _failure(part, code, reason, status, most_bytes)
    if not checked and length < 0:
        raise _FailedError(
            "the server does not say how long the file is, so that a cut would not show",
            True,
            "set fetch.mirror to a copy",
        )


def _authorities() -> list[tuple[int, str]]:
    """curl's options for the certificates that vouch for servers: the user's, else certifi's."""
    chosen: dict[int, str] = {}
    for name in _AUTHORITIES:
        if place := os.environ.get(name):
            if not Path(place).exists():
                raise InputError(f"{place}: no such file or folder; correct the variable {name}")
            chosen.setdefault(pycurl.CAPATH if Path(place).is_dir() else pycurl.CAINFO, place)
    return list((chosen or {pycurl.CAINFO: certifi.where()}).items())


def _failure(part: Path, code: int, reason: str, status: int, most_bytes: int) -> _FailedError:
    if code == pycurl.E_ABORTED_BY_CALLBACK:
        return _FailedError(
            f"sends more than {most_bytes:,} bytes, more than such a file has",
            True,
            "check the address, or fetch.mirror",
        )
    if code == pycurl.E_WRITE_ERROR:
        return _FailedError(f"cannot be written to {part}", True, "make room on the disk")
    if code == pycurl.E_HTTP_RETURNED_ERROR:
        passing = status in (408, 429) or status >= 500
        return _FailedError(
            f"the server answers {status}",
            not passing,
            "try again later" if passing else "check the address, or set fetch.mirror to a copy",
        )
    if code in _UNTRUSTED:
        return _FailedError(
            reason, True, "name the certificates to trust in the environment: SSL_CERT_FILE"
        )
    if code in _FINAL_ERRORS:
        return _FailedError(reason, True, "check the address, or fetch.mirror")
    return _FailedError(reason, False)
