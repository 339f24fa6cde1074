"""Other systems on CIFAR-10, each with the source of its figures, to compare ours with.

Accuracies are top-1 in percent. A figure that its source does not give is None. The figures of the
paper that this repository re-creates are in stages/results/published.py; its rates are of
co-simulation, and it gives no count of LUTs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """A published system: parameters, images per second, and LUTs plus DSPs, as far as known.

    `note` says what a reader must know to compare, empty if nothing.
    """

    name: str
    accuracy: float
    source: str
    parameters: int | None = None
    rate: int | None = None
    lut_dsp: int | None = None
    note: str = ""


_PAPER = "doi 10.1145/3705926"
_RESNETS = "arXiv 2309.15631, abstract"
_TINY = "github.com/mlcommons/tiny_results_v1.1, closed/fpgaconvnet"

SYSTEMS = (
    System("LERP-PSA-96, paper", 88.1, _PAPER, 120_042, 32_051, note="INT8, co-simulation"),
    System("ReLU-192, paper", 87.9, _PAPER, 174_186, 16_192, note="INT8, co-simulation"),
    System("ReLU-96, paper", 86.1, _PAPER, 100_074, 32_051, note="INT8, co-simulation"),
    System("ResNet-20", 91.3, _RESNETS, rate=7_601, note="INT8, KV260"),
    System("ResNet-8", 88.7, _RESNETS, 78_000, 30_153, note="INT8, KV260"),
    System("ternary VGG", 90.9, "arXiv 1909.04509, abstract", rate=122_000, note="AWS F1"),
    System("LUTNet", 84.8, "README of github.com/awai54st/LUTNet", rate=10_200, lut_dsp=106_776),
    System("FINN CNV", 80.1, "arXiv 1612.07119, abstract", rate=21_906, note="ZC706"),
    System("fpgaConvNet ResNet-8", 86.0, _TINY, 78_000, 6_790, 108_500, "on 200 images, ZC706"),
    System("MDMLP", 90.9, "arXiv 2205.14477, abstract", 300_000, note="float"),
    System("Mixer-nano", 90.83, "github.com/omihub777/MLP-Mixer-CIFAR", 670_000, note="float"),
)
