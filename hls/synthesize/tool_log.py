"""Find out from its output why an HLS tool stopped."""

import re

_KNOWN = (
    (r"Common 17-345|valid license was not found|ERROR.*[Ll]icen[cs]e", "the licence is missing"),
    (
        r"HLS 200-1023|ERROR.*\b[Pp]art\b.*(?:\bnot\b|invalid|unknown|Invalid|Unknown)",
        "this installation does not know the part (hls.part)",
    ),
    (
        r"bad lexical cast|core_revision",
        "exports of tools up to 2021.2 need AMD's patch AR 76960",
    ),
    (r"out of memory|bad_alloc|^Killed$", "the memory was not enough"),
    (r"MISMATCH", "the test bench found a difference"),
    (r"[Ss]egmentation fault|core dumped|Abnormal program termination", "it crashed"),
    (r"\bERROR\b|\bFATAL\b", ""),
)
_CAUSES = [(re.compile(rf"^.*(?:{words}).*$", re.MULTILINE), cause) for words, cause in _KNOWN]


def reason(status: int, said: str) -> str:
    """Return the most likely cause of failure, and the log line that shows it.

    `status` is the exit status of the process (negative: killed by a signal), `said` its output.
    """
    for pattern, cause in _CAUSES:
        match = pattern.search(said)
        if match:
            line = match[0].strip().rstrip(".")[:200]
            return f"{cause} ({line})" if cause else line
    if status < 0:
        return f"it was killed by signal {-status}"
    return f"it ended with status {status} and without the result"
