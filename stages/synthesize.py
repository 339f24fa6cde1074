"""Synthesise one variant with Vitis HLS and note what it costs.

Reads data/<variant>/headers; writes data/metrics/synthesis/<variant>.json: LUT, FF, DSP, BRAM (18
kbit), URAM, latency and interval in cycles. Where the tool is not installed the numbers are null
and `note` says so, unless hls.require_tool asks for an error.
"""

import logging
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

from hls import vitis
from hls.headers import header_files
from models.errors import PipelineError
from stages._integer_name import check_integer_name
from stages._metrics import Metric, write_metrics
from stages._params import Hls, load_params
from stages._paths import artifact, metrics
from stages._stage import run_variant_stage


def synthesize(name: str, settings: Hls, log: Path) -> dict[str, Metric]:
    """Return the metrics of one variant, null where there is no tool to measure them."""
    tool = vitis.find_tool()
    if tool is None:
        if settings.require_tool:
            raise PipelineError(
                f"{vitis.ABSENT} Source its settings64.sh, or set hls.require_tool to false in "
                "params.yaml."
            )
        logging.info("%s: %s", name, vitis.ABSENT)
        return {field.name: None for field in fields(vitis.Report)} | {"note": vitis.ABSENT}
    headers = header_files(artifact(name, "headers"))
    with tempfile.TemporaryDirectory(prefix="synthesis-") as folder:
        report = vitis.synthesize(
            tool,
            headers,
            Path(folder),
            log,
            part=settings.part,
            clock_ns=settings.clock_ns,
            flow_target=settings.flow_target,
        )
    return asdict(report) | {"note": None}


def main(name: str) -> None:
    """Synthesise one variant."""
    params = load_params()
    check_integer_name(params, name)
    log = artifact(name, "synthesis.log")
    log.unlink(missing_ok=True)
    result = synthesize(name, params.hls, log)
    write_metrics(metrics("synthesis", name), result)
    log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_variant_stage(main)
