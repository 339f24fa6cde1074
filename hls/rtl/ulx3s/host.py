"""Send images to a ULX3S with ulx3s_top, and compare the logits that it answers.

    python hls/rtl/ulx3s/host.py /dev/ttyUSB0 tokens logits

`tokens` holds int8 images one after the other, `logits` the expected int8 scores of each: the files
that the stage rtl writes for its simulation. Needs Linux and nothing but Python. Not run on a board
yet; a test runs it against a pseudo-terminal.
"""

import argparse
import os
import select
import sys
import termios
import time
import tty
from pathlib import Path

SECONDS = 5.0  # that the answer to one image may take: it takes 0.04


def opened(port: str) -> int:
    """Return the descriptor of a serial port at 1 Mbaud, 8 bits, without flow control."""
    line = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    settings = termios.tcgetattr(line)
    settings[4] = settings[5] = termios.B1000000
    termios.tcsetattr(line, termios.TCSANOW, settings)
    termios.tcflush(line, termios.TCIOFLUSH)
    return line


def exchange(line: int, tokens: bytes, answers: int) -> bytes:
    """Send one image; return the `answers` bytes that come back, fewer after SECONDS."""
    unsent, received, end = tokens, b"", time.monotonic() + SECONDS
    while len(received) < answers and time.monotonic() < end:
        readable, writable, _ = select.select([line], [line] if unsent else [], [], 0.1)
        if writable:
            unsent = unsent[os.write(line, unsent[:256]) :]
        if readable:
            received += os.read(line, answers - len(received))
    return received


def compared(line: int, tokens: bytes, logits: bytes, classes: int) -> int:
    """Send all images; return the number whose logits differ. SystemExit if no answer comes."""
    images = len(logits) // classes
    size, wrong = len(tokens) // images, 0
    for image in range(images):
        sent = tokens[image * size : (image + 1) * size]
        expected = logits[image * classes : (image + 1) * classes]
        answer = exchange(line, sent, classes)
        if len(answer) < classes:
            sys.exit(
                f"error: image {image}: {len(answer)} of {classes} logits came in {SECONDS:g} s; "
                "press reset, and look whether led[1] is on (a byte was lost)."
            )
        wrong += answer != expected
    return wrong


def main() -> None:
    """Compare all images of two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", help="the serial port, such as /dev/ttyUSB0")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("logits", type=Path)
    parser.add_argument("--classes", type=int, default=10, help="logits per image (10)")
    options = parser.parse_args()
    tokens, logits = options.tokens.read_bytes(), options.logits.read_bytes()
    if (
        not logits
        or len(logits) % options.classes
        or len(tokens) % (len(logits) // options.classes)
    ):
        sys.exit("error: the sizes of the files are not those of the same number of images.")
    line = opened(options.port)
    wrong = compared(line, tokens, logits, options.classes)
    sys.stdout.write(f"{len(logits) // options.classes} images, {wrong} with differing logits\n")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
