"""Find the authors' archive of checkpoints: a local copy, or a download from Google Drive.

Downloads go to the user's cache, outside the pipeline, so neither DVC nor a fresh clone loses them.
An interrupted download resumes. Files in the cache are never deleted, only renamed.
"""

import logging
import os
from pathlib import Path

from models.files.digest import file_digest
from models.files.errors import PipelineError, one_line
from stages.pipeline.params import Published
from stages.published.archive import check_archive

log = logging.getLogger(__name__)

_RETRIES = 4
_TIMEOUT = (10, 60)  # seconds to connect, seconds without data; gdown's default is no limit


def archive(published: Published) -> Path:
    """Return the folder or archive that `published` describes; download it if necessary.

    The hash of an archive is compared with `sha256`, or logged if that is null. PipelineError
    explains how to get the archive by hand.
    """
    try:
        return _cached(published) if published.path is None else _local(published)
    except OSError as error:
        raise PipelineError(
            f"{error.filename} cannot be used ({error.strerror}); move it or mend its permissions."
        ) from error


def _local(published: Published) -> Path:
    local = Path(published.path or "").expanduser()
    if not local.exists():
        raise PipelineError(
            f"published.path is {published.path}, which does not exist; name the authors' archive "
            "or its unpacked folder, or set it to null to download it."
        )
    if local.is_file():
        wrong = _wrong_hash(local, published.sha256)
        if wrong:
            raise PipelineError(f"{local} {wrong}; name another copy in published.path.")
    return local


def _cached(published: Published) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lerp-psa"
    target = cache / f"checkpoints-{published.drive_id}"
    if target.is_file():
        fault = _fault(target, published.sha256)
        if fault is None:
            return target
        log.warning("%s; it is kept as %s", fault, _set_aside(target))
    _download(published.drive_id, target)
    fault = _fault(target, published.sha256)
    if fault is not None:
        raise PipelineError(
            f"What Google Drive gave is not the archive: {fault}; it is kept as "
            f"{_set_aside(target)}, and you can {_by_hand(published.drive_id, target)}."
        )
    return target


def _fault(path: Path, sha256: str | None) -> str | None:
    """Return a description of what is wrong with an archive, or None."""
    wrong = _wrong_hash(path, sha256)
    if wrong:
        return f"{path} {wrong}"
    try:
        check_archive(path)
    except PipelineError as error:
        return str(error).rstrip(".")
    return None


def _wrong_hash(path: Path, sha256: str | None) -> str | None:
    found = file_digest(path)
    if sha256 is None:
        log.info(
            "%s has sha256 %s; put it, in quotes, under published.sha256 to pin it", path, found
        )
    elif found != sha256:
        return f"has sha256 {found}, but published.sha256 is {sha256}, so it was changed or cut"
    return None


def _set_aside(path: Path) -> Path:
    """Rename a bad file, so that the next download can use its name; return the new path."""
    return path.rename(path.with_name(f"{path.name}.wrong-{file_digest(path)[:12]}"))


def _download(drive_id: str, target: Path) -> None:
    import gdown  # slow to import, and only needed here

    log.info("downloading %s to %s", _url(drive_id), target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        gdown.download(
            id=drive_id,
            output=str(target),
            resume=True,
            retries=_RETRIES,
            timeout=_TIMEOUT,
            use_cookies=False,
        )
    except (gdown.DownloadError, KeyError, OSError, ValueError) as error:
        reason, parts = _reason(error), sorted(target.parent.glob(f"{target.name}*.part"))
        if parts:
            reason += f"; to start over, delete {', '.join(map(str, parts))}"
        raise PipelineError(
            f"The published checkpoints could not be downloaded ({reason}); run the same command "
            f"again later, or {_by_hand(drive_id, target)}."
        ) from error


def _reason(error: Exception) -> str:
    from gdown import FileURLRetrievalError
    from requests import ConnectionError, Timeout

    cause = error.__cause__ or error
    if isinstance(error, FileURLRetrievalError):
        if "too many" in str(error).lower():
            return "Google Drive's limit of downloads is reached, for up to 24 hours"
        return "Google Drive does not hand it out: it is private or gone"
    if isinstance(error, KeyError):
        return "the answer is not Google Drive's but, say, the login page of this network"
    if isinstance(cause, ConnectionError | Timeout):
        return f"no connection to Google Drive: {type(cause).__name__}"
    return one_line(error).rstrip(".") or type(error).__name__


def _by_hand(drive_id: str, target: Path) -> str:
    return (
        f"open {_url(drive_id)} in a browser and save the archive as {target}, or anywhere and "
        "name it in published.path of params.yaml"
    )


def _url(drive_id: str) -> str:
    return f"https://drive.google.com/file/d/{drive_id}/view"
