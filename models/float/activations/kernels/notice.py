"""Say that kernels are compiled, where a user would wait without a word."""

import logging

from .openmp import cache_folder

_LOG = logging.getLogger(__name__)


def announce(module: str) -> None:
    """Log a warning, which Python prints by default, if a module's kernels are not on disk yet."""
    folder = cache_folder()
    if folder is None:
        _LOG.warning(
            "lerp_psa: compiling %s for this processor takes seconds, in every process, because "
            "no folder for compiled code can be written; set NUMBA_CACHE_DIR to one.",
            module,
        )
    elif not any(folder.glob(f"**/{module}.*.nbi")):
        _LOG.warning(
            "lerp_psa: compiling %s for this processor, once, which takes some seconds; kept in %s",
            module,
            folder,
        )
