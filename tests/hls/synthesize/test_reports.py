"""Readers of reports: on real files, figures read off by eye, and on files of the same shape."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.synthesize.report_files import count, number, read_profile
from hls.synthesize.reports import Span, read_csynth, read_export
from hls.synthesize.simulation_reports import csim_passed, read_cosim
from models.files.errors import PipelineError
from tests.support.hls_stand_in import NOT_RUN, PART, TOP, cosim_rpt, csynth_xml, export_xml


@pytest.fixture(scope="session")
def real(shared):
    """Return a function that gives the path of a real report; skip where they are absent."""
    folder = shared / "reference" / "hls_reports"
    if not folder.is_dir():
        pytest.skip("the real reports ../shared/reference/hls_reports are not here")
    return lambda name: folder / name


def same(value):
    return Span(value, value, value)


UNKNOWN = Span()
# file: version, part, top, pipeline, (target, uncertainty, estimate), latency, interval,
# used and available LUT, FF, DSP, BRAM, URAM
CSYNTH = {
    "AC_proj_39__conv2d_Pipeline_VITIS_LOOP_55_2_VITIS_LOOP_56_3_csynth.xml": (
        *("Vitis HLS 2025.2", "xcvu080_CIV-ffvb2104-3-e"),
        *("conv2d_Pipeline_VITIS_LOOP_55_2_VITIS_LOOP_56_3", "loop pipeline stp"),
        *((10.0, 2.70, 6.916), same(3894), same(3845)),
        *((4506, 4315, 36, 0, 0), (445712, 891424, 672, 2842, 0)),
    ),
    "AMD-Pervasive-AI__ViT_act_csynth.xml": (
        *("Vitis HLS 2022.2", "xck26-sfvc784-2LV-c", "ViT_act", "no"),
        *((10.0, 2.70, 7.674), UNKNOWN, UNKNOWN),
        *((270827, 172584, 1452, 902, 0), (117120, 234240, 1248, 288, 64)),
    ),
    "AMD-Pervasive-AI__load_linear_weights_csynth.xml": (
        *("Vitis HLS 2022.2", "xck26-sfvc784-2LV-c", "load_linear_weights", "no"),
        *((10.0, 2.70, 7.3), Span(6, None, 1047568), Span(6, None, 1047568)),
        *((24043, 15094, 1, 0, 0), (117120, 234240, 1248, 288, 64)),
    ),
    "Alveo_FPGA_Design_Workshop__csynth.xml": (
        *("Vitis HLS 2023.2", "xcu55c-fsvh2892-2L-e", "streamhls", "dataflow"),
        *((5.0, 1.35, 3.65), same(165), same(91)),
        *((6800, 10567, 48, 30, 0), (1303680, 2607360, 9024, 4032, 960)),
    ),
    "AutoBridge__PageRank_csynth.xml": (
        *("Vivado HLS 2019.2", "xcu280-fsvh2892-2L-e", "PageRank", "none"),
        *((4.0, 0.50, 1.0), same(1), same(2)),
        *((2647, 1460, 0, 0, 0), (1303680, 2607360, 9024, 4032, 960)),
    ),
    "CTREncryption__block_aes_128_csynth.xml": (
        *("Vivado HLS 2018.3", "xczu7ev-ffvc1156-2-e", "block_aes_128", "none"),
        *((5.0, 0.62, 4.091), Span(14, 23, 32), Span(15, None, 33)),
        *((188270, 2217, 0, 4, 0), (230400, 460800, 1728, 624, 96)),
    ),
    "HG-DREAM-Pulse-Detection-Project__myproject_csynth.xml": (
        *("Vitis HLS 2023.1", "xczu49dr-ffvf1760-2-e", "myproject", "dataflow"),
        *((5.0, 1.35, 3.649), same(695), same(578)),
        *((339116, 65881, 29, 332, 0), (425280, 850560, 4272, 2160, 80)),
    ),
    "HLS_BoostingTree__csynth.xml": (
        *("Vivado HLS 2019.1", "xc7z020-clg400-2", "predict_ensemble", "none"),
        *((10.0, 1.25, 8.588), Span(705, 3009, 5569), Span(706, None, 5570)),
        *((1024, 496, 2, 56, 0), (53200, 106400, 220, 280, 0)),
    ),
    "Vitis_HLS_Gaussian__gaussian_csynth.xml": (
        *("Vitis HLS 2020.2", "xczu7ev-ffvc1156-2-e", "gaussian", "none"),
        *((10.0, 2.70, 6.427), same(262673), same(262674)),
        *((1870, 973, 0, 3, 0), (230400, 460800, 1728, 624, 96)),
    ),
    "fpga_SpMV__SpMV_Pipeline_spmv_loop_internal1_csynth.xml": (
        *("Vitis HLS 2024.1", "xc7z020-clg400-1", "SpMV_Pipeline_spmv_loop_internal1"),
        "loop auto-rewind stp(delay=0 clock cycles(s))",
        *((10.0, 2.70, 7.3), UNKNOWN, UNKNOWN),  # the file says interval 0..0, latency undef
        *((373, 365, 0, 0, 0), (53200, 106400, 220, 280, 0)),
    ),
    "fpga_SpMV__SpMV_csynth.xml": (
        *("Vitis HLS 2024.1", "xc7z020-clg400-1", "SpMV", "no"),
        *((10.0, 2.70, 7.3), UNKNOWN, UNKNOWN),
        *((13462, 11269, 3, 8, 0), (53200, 106400, 220, 280, 0)),
    ),
    "hls4ml__myproject_csynth.xml": (
        *("Vivado HLS 2020.1", "xc7z020-clg400-1", "myproject", "dataflow"),
        *((5.0, 0.62, 4.049), same(10), same(8)),
        *((2532, 7969, 73, 0, 0), (53200, 106400, 220, 280, 0)),
    ),
    "hls4ml_layer__myproject_csynth.xml": (
        *("Vivado HLS 2019.2", "xczu9eg-ffvb1156-2-e", "myproject", "dataflow"),
        *((5.0, 0.62, 0.785), same(12323), same(12324)),
        *((1737, 823, 0, 0, 0), (274080, 548160, 2520, 1824, 0)),
    ),
    "lr_standaloneHLS__countStubLayers_csynth.xml": (
        *("Vivado HLS 2018.3", "xcku115-flvb2104-2-e", "countStubLayers", "none"),
        *((10.0, 1.25, 3.762), UNKNOWN, UNKNOWN),
        *((419, 115, 0, 0, None), (663360, 1326720, 5520, 4320, None)),
    ),
    "newton_law_of_cooling__solveCooling_csynth.xml": (
        *("Vitis HLS 2023.2.2", "xc7a200t-sbv484-1", "solveCooling", "no"),
        *((10.0, 2.70, 6.86), same(6), same(7)),
        *((285, 534, 8, 0, 0), (134600, 269200, 740, 730, 0)),
    ),
}
# file: module, loop, trip count, latency, iteration latency or depth, interval; the first loop
LOOPS = {
    "HLS_BoostingTree__csynth.xml": (
        *("predict_ensemble", "Loop1", same(64), Span(704, None, 5568)),
        *(Span(11, None, 87), UNKNOWN),
    ),
    "lr_standaloneHLS__countStubLayers_csynth.xml": (
        *("countStubLayers", "memset_foundLayers", same(30), same(29), same(1), UNKNOWN),
    ),
    "fpga_SpMV__SpMV_Pipeline_spmv_loop_internal1_csynth.xml": (
        *("SpMV_Pipeline_spmv_loop_internal1", "spmv_loop_internal", UNKNOWN, UNKNOWN),
        *(same(15), same(1)),
    ),
    "Alveo_FPGA_Design_Workshop__csynth.xml": (
        *("fetch_from_hbm", "VITIS_LOOP_16_1", same(16), same(88), same(74), same(1)),
    ),
    "AC_proj_39__conv2d_Pipeline_VITIS_LOOP_55_2_VITIS_LOOP_56_3_csynth.xml": (
        "conv2d_Pipeline_VITIS_LOOP_55_2_VITIS_LOOP_56_3",
        *("VITIS_LOOP_55_2_VITIS_LOOP_56_3", same(3844), same(3892), same(50), same(1)),
    ),
}
COSIM = {  # file: passed, latency, interval, total
    "AMD-Pervasive-AI__ViT_act_cosim.rpt": (False, UNKNOWN, UNKNOWN, None),
    "AccelAutoencoderOnFPGA__Autoencoder_cosim.rpt": (False, UNKNOWN, UNKNOWN, None),
    "HG-DREAM-Pulse-Detection-Project__myproject_cosim.rpt": (False, UNKNOWN, UNKNOWN, None),
    "fpga_SpMV__SpMV_cosim.rpt": (True, Span(269, 426, 616), Span(269, 379, 544), 2134),
    "hls4ml_layer__myproject_cosim.rpt": (True, same(12323), UNKNOWN, None),
    "newton_law_of_cooling__hls_cosim.rpt": (True, same(0), same(0), 0),
}
EXPORT = {  # file: kind, achieved clock
    "newton_law_of_cooling__export_impl.xml": ("impl", 5.692),
    "newton_law_of_cooling__export_syn.xml": ("syn", 5.745),
}
# The text twins are no input of ours: they say by another way what the XML says.
TEXT_TWINS = {
    "AutoBridge__PageRank_csynth.rpt": "AutoBridge__PageRank_csynth.xml",
    "HG-DREAM-Pulse-Detection-Project__myproject_csynth.rpt": (
        "HG-DREAM-Pulse-Detection-Project__myproject_csynth.xml"
    ),
    "hls4ml__myproject_csynth.rpt": "hls4ml__myproject_csynth.xml",
    "hls4ml_layer__myproject_csynth.rpt": "hls4ml_layer__myproject_csynth.xml",
    "Alveo_FPGA_Design_Workshop__csynth.rpt": "Alveo_FPGA_Design_Workshop__csynth.xml",
    "newton_law_of_cooling__csynth.rpt": "newton_law_of_cooling__solveCooling_csynth.xml",
    "newton_law_of_cooling__export_impl.rpt": "newton_law_of_cooling__export_impl.xml",
    "newton_law_of_cooling__solveCooling_export.rpt": "newton_law_of_cooling__export_impl.xml",
}
OTHERS = ["PROVENANCE.md", "fpga_SpMV__SpMV_csim.log", "fpga_SpMV__lat.rpt"]
OTHERS += ["fpga_SpMV__result.transaction.rpt"]


def test_every_real_file_is_tested(real):
    tested = {*CSYNTH, *COSIM, *EXPORT, *TEXT_TWINS, *OTHERS}
    assert {path.name for path in real(".").iterdir()} == tested


@pytest.mark.parametrize("name", CSYNTH)
def test_a_real_csynth(real, name):
    tool, part, top, pipeline, clocks, latency, interval, used, available = CSYNTH[name]
    report = read_csynth(real(name))
    assert (report.tool, report.part) == (tool, part)
    assert (report.top.name, report.top.pipeline) == (top, pipeline)
    found = report.clock_target_ns, report.clock_uncertainty_ns, report.top.clock_estimated_ns
    assert found == clocks
    assert (report.top.latency, report.top.interval) == (latency, interval)
    assert tuple(report.top.used.values()) == used
    assert tuple(report.available.values()) == available
    assert list(report.available) == ["lut", "ff", "dsp", "bram", "uram"]


@pytest.mark.parametrize("name", CSYNTH)
def test_the_first_loop_of_a_real_csynth(real, name):
    loops = read_csynth(real(name)).loops
    assert bool(loops) == ("<SummaryOfLoopLatency>" in real(name).read_text())
    if name in LOOPS:
        assert tuple(vars(loops[0]).values()) == LOOPS[name]


def test_nested_loops_of_real_files(real):
    old = read_csynth(real("HLS_BoostingTree__csynth.xml")).loops
    assert [loop.name for loop in old] == ["Loop1", "Loop1/Loop1.1"]
    assert old[1].trip_count == Span(1, None, 20) and old[1].iteration_latency == same(4)
    names = [loop.name for loop in read_csynth(real("AMD-Pervasive-AI__ViT_act_csynth.xml")).loops]
    assert names[:2] == ["_ln124_for_each_image", "_ln124_for_each_image/_ln131_for_each_layer"]


def test_the_modules_of_a_real_project_wide_csynth(real):
    report = read_csynth(real("Alveo_FPGA_Design_Workshop__csynth.xml"))
    table = {m.name: (m.latency, m.interval, m.used["lut"], m.used["dsp"]) for m in report.modules}
    assert table == {
        "entry_proc": (same(0), same(0), 29, 0),
        "fetch_from_hbm": (same(90), same(90), 136, 0),
        "process_kernel": (same(21), same(21), 1324, 48),
        "write_to_output_Pipeline_VITIS_LOOP_44_1": (same(19), same(19), 76, 0),
        "write_to_output": (same(90), same(90), 600, 0),
    }
    assert [(loop.module, loop.name) for loop in report.loops] == [
        ("fetch_from_hbm", "VITIS_LOOP_16_1"),
        ("process_kernel", "VITIS_LOOP_28_1"),
        ("write_to_output_Pipeline_VITIS_LOOP_44_1", "VITIS_LOOP_44_1"),
    ]


@pytest.mark.parametrize("name", COSIM)
def test_a_real_cosim(real, name):
    report = read_cosim(real(name))
    found = report.passed, report.latency, report.interval, report.total_cycles
    assert found == COSIM[name]
    assert report.rtl == "Verilog"


def test_the_transactions_behind_a_real_cosim(real):
    """The last transaction has no interval; averages are cut off, not rounded."""
    report = read_cosim(real("fpga_SpMV__SpMV_cosim.rpt"))
    rows = re.findall(r": +(\d+) +(\d+|x)", real("fpga_SpMV__result.transaction.rpt").read_text())
    latency = [int(row[0]) for row in rows]
    interval = [int(row[1]) for row in rows[:-1]]
    for span, values in ((report.latency, latency), (report.interval, interval)):
        assert span == Span(min(values), sum(values) // len(values), max(values))
    assert (
        f'$TOTAL_EXECUTE_TIME = "{report.total_cycles}"' in real("fpga_SpMV__lat.rpt").read_text()
    )


@pytest.mark.parametrize("name", EXPORT)
def test_a_real_export(real, name):
    kind, clock = EXPORT[name]
    report = read_export(real(name))
    assert (report.kind, report.clock_target_ns, report.clock_ns) == (kind, 10.0, clock)
    assert (report.top, report.part) == ("solveCooling", "xc7a200t-sbv484-1")
    assert report.timing_met is True
    assert tuple(report.used.values()) == (176, 173, 8, 0, 0)
    assert tuple(report.available.values()) == (134600, 269200, 740, 730, 0)


@pytest.mark.parametrize("name", TEXT_TWINS)
def test_a_text_twin_has_the_same_numbers_and_is_refused(real, name):
    text, twin = real(name).read_text(), real(TEXT_TWINS[name])
    is_export = "export" in name
    used = read_export(twin).used if is_export else read_csynth(twin).top.used
    for value in (used["lut"], used["ff"]):
        assert re.search(rf"\b{value}\b", text)
    with pytest.raises(PipelineError, match=f"{name} is cut off or is not XML"):
        (read_export if is_export else read_csynth)(real(name))


def test_a_real_csim_log(real):
    assert csim_passed(real("fpga_SpMV__SpMV_csim.log").read_text()) is True


@pytest.mark.parametrize("name", [*CSYNTH, *EXPORT])
def test_a_real_report_cut_off_anywhere_is_refused_by_name(real, name, tmp_path):
    data = real(name).read_bytes()
    read = read_export if name in EXPORT else read_csynth
    path = tmp_path / name
    for end in range(0, len(data.rstrip()), max(1, len(data) // 25)):
        path.write_bytes(data[:end])
        with pytest.raises(PipelineError, match=re.escape(name)):
            read(path)


def written(folder, text, name="report.xml"):
    path = folder / name
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return path


@pytest.mark.parametrize("version", ["2018.3", "2020.1", "2020.2", "2025.2"])
def test_a_csynth_of_every_generation(tmp_path, version):
    report = read_csynth(written(tmp_path, csynth_xml(version)))
    vivado = version < "2020.2"
    assert report.tool == f"{'Vivado' if vivado else 'Vitis'} HLS {version}"
    assert (report.top.name, report.part) == (TOP, PART)
    assert report.flow_target == (None if vivado else "vitis")
    assert report.top.latency == Span(7000, None, 29441)
    assert report.top.interval == Span(6200, None, 6240)
    assert report.top.used == {
        **{"lut": 339116, "ff": 65881, "dsp": 29, "bram": 332},
        "uram": None if vivado else 0,
    }


def test_modules_and_nested_loops(tmp_path):
    report = read_csynth(written(tmp_path, csynth_xml(modules=True)))
    assert [module.name for module in report.modules] == ["fill"]
    module = report.modules[0]
    assert (module.latency, module.interval) == (Span(6144, None, 6146), Span(6144, None, 6146))
    assert module.pipeline == "loop rewind(delay=0 initiation interval(s))"
    assert module.used == {"lut": 29, "ff": 3, "dsp": None, "bram": None, "uram": None}
    rows, columns = report.loops
    assert (rows.module, rows.name, columns.name) == ("fill", "rows", "rows/columns")
    assert (rows.latency, rows.iteration_latency) == (Span(6144, None, 6146), same(96))
    assert (columns.latency, columns.iteration_latency, columns.interval) == (
        *(UNKNOWN, same(2), same(1)),
    )


def test_an_export_and_its_older_shape(tmp_path):
    report = read_export(written(tmp_path, export_xml("synth", "5.250", "FALSE")))
    assert (report.kind, report.clock_ns, report.timing_met) == ("syn", 5.25, False)
    assert report.used == {"lut": 120000, "ff": 50000, "dsp": 29, "bram": 166, "uram": None}
    text = re.sub(r"<(RunData|RtlModules|GeneralInfo).*?</\1>", "", export_xml(), flags=re.DOTALL)
    report = read_export(written(tmp_path, text.replace("<TIMING_MET>TRUE</TIMING_MET>", "")))
    assert (report.kind, report.top, report.part, report.timing_met) == ("impl", None, None, None)
    assert report.clock_ns == 4.321


def test_a_cosim_report_of_both_widths_and_of_either_language(tmp_path):
    wide = read_cosim(written(tmp_path, cosim_rpt(1, 2, 3, 4, 5, 6, 70)))
    assert (wide.passed, wide.latency, wide.interval) == (True, Span(1, 2, 3), Span(4, 5, 6))
    assert (wide.rtl, wide.total_cycles) == ("Verilog", 70)
    narrow = read_cosim(written(tmp_path, cosim_rpt(1, 2, 3, *["NA"] * 3)))
    assert (narrow.interval, narrow.total_cycles) == (UNKNOWN, None)
    other = NOT_RUN.replace("   VHDL", "Verilog")
    vhdl = read_cosim(written(tmp_path, cosim_rpt(1, 2, 3, 4, 5, 6, 7, rtl="VHDL", other=other)))
    assert vhdl.rtl == "VHDL" and vhdl.passed
    nothing = read_cosim(written(tmp_path, cosim_rpt(*["NA"] * 7, status="NA")))
    assert (nothing.rtl, nothing.passed) == (None, None)


@pytest.mark.parametrize(
    ("log", "passed"),
    [
        ("@I [SIM-1] CSim done with 0 errors.", True),
        ("INFO: [SIM 211-1] CSim done with 1 errors.", False),
        ("CSim done with 10 errors", False),
        ("CSim done with 0 errors\nCSim done with 2 errors", False),
        ("C-simulation finished successfully", None),  # also said when it was only compiled
    ],
)
def test_the_end_of_a_c_simulation(log, passed):
    assert csim_passed(log) is passed


LAUGHS = '<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
REFUSED = {
    "no such file": (None, "cannot be read"),
    "empty": ("", "cut off or is not XML"),
    "another program's": ("<project><top/></project>", "root element is <project>"),
    "entities": (LAUGHS + csynth_xml().replace("dataflow", "&b;"), "document type"),
    "a file of the system": (
        '<!DOCTYPE p SYSTEM "file:///etc/passwd"><profile/>',
        "document type",
    ),
    "no top": (csynth_xml(top=""), "TopModelName"),
    "no latency": (csynth_xml().replace("OverallLatency", "Latency"), "SummaryOfOverallLatency"),
    "no resources": (csynth_xml().replace("Resources>", "Sources>"), "AreaEstimates/Resources"),
    "text for a number": (csynth_xml(worst="many"), "'many', but must be a whole number"),
    "negative": (csynth_xml(lut="-3"), "'-3'"),
    "huge": (csynth_xml(lut="9" * 5000), "whole number"),
    "other digits": (csynth_xml(lut="٣"), "whole number"),
    "text for a clock": (csynth_xml(estimated="fast"), "EstimatedClockPeriod is 'fast'"),
    "an odd encoding": (b'<?xml version="1.0" encoding="utf-7"?><profile/>', "is not XML"),
    "too deep": ("<profile>" + "<a>" * 70_000, "nests more than"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_csynth_is_refused_by_name(tmp_path, case):
    text, message = REFUSED[case]
    path = tmp_path / "resmlp_top_csynth.xml"
    if text is not None:
        written(tmp_path, text, path.name)
    with pytest.raises(PipelineError, match=re.escape(message)) as refused:
        read_csynth(path)
    assert path.name in str(refused.value) and "\n" not in str(refused.value)


def test_other_reports_are_not_taken_for_each_other(tmp_path):
    with pytest.raises(PipelineError, match="no element PerformanceEstimates"):
        read_csynth(written(tmp_path, export_xml()))
    with pytest.raises(PipelineError, match="no element TimingReport"):
        read_export(written(tmp_path, csynth_xml()))
    with pytest.raises(PipelineError, match="is not a co-simulation report"):
        read_cosim(written(tmp_path, csynth_xml()))
    with pytest.raises(PipelineError, match="RUN_TYPE is 'place'"):
        read_export(written(tmp_path, export_xml("place")))


def test_a_cosim_report_that_is_damaged(tmp_path):
    whole = cosim_rpt(1, 2, 3, 4, 5, 6, 7)
    for text in (whole[: whole.index("Verilog") + 30], whole + "|Verilog|Pass|\n", whole * 2):
        with pytest.raises(PipelineError, match=r"report\.xml: the row"):
            read_cosim(written(tmp_path, text))
    with pytest.raises(PipelineError, match="'Perhaps', but must be Pass"):
        read_cosim(written(tmp_path, cosim_rpt(1, 2, 3, 4, 5, 6, 7, status="Perhaps")))
    with pytest.raises(PipelineError, match="'x1', but must be a whole number"):
        read_cosim(written(tmp_path, cosim_rpt(1, 2, "x1", 4, 5, 6, 7)))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("hls.synthesize.report_files.MAX_BYTES", 2**20)
    with pytest.raises(PipelineError, match="more than 1 MB"):
        read_profile(written(tmp_path, " " * 2**21))


@given(st.text(max_size=30))
def test_a_number_or_an_error(text):
    for read in (count, number):
        try:
            value = read(text, "here")
        except PipelineError as error:
            assert "here is" in str(error)
        else:
            assert value is None or (abs(value) < 10**15 and value >= -(10**9))


pieces = st.sampled_from(["<", ">", "undef", "~", "&a;", "9" * 20, "-1", "NA", "|", "\n", "\0", ""])


def spoiled(whole):
    """Return a strategy of texts that are `whole` with a part replaced by noise."""
    cut = st.integers(0, len(whole))
    noise = pieces | st.text(max_size=8)
    return st.builds(
        lambda a, b, text: whole[: min(a, b)] + text + whole[max(a, b) :], cut, cut, noise
    )


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (read_csynth, csynth_xml(modules=True)),
        (read_export, export_xml()),
        (read_cosim, cosim_rpt(1, 2, 3, 4, 5, 6, 7)),
    ],
    ids=["csynth", "export", "cosim"],
)
def test_a_spoiled_report_gives_numbers_or_an_error(read, whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("spoiled") / "report.xml"

    @settings(max_examples=150, deadline=None)
    @given(spoiled(whole) | st.text(max_size=50))
    def check(text):
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            report = read(path)
        except PipelineError as error:
            assert "report.xml" in str(error) and "\n" not in str(error)
        else:
            assert report is not None

    check()


def test_paths_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, csynth_xml())
    assert read_csynth(Path("report.xml")).top.name == TOP
