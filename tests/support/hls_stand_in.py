"""Stand-ins for the HLS tools: they check their command line and input files and write reports.

Each stand-in is an executable that calls `main` of this file with its name, its generation (the
tool version whose report format it writes) and a flaw (the failure to simulate).
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TOP, PART = "resmlp_top", "xcu50-fsvh2104-2-e"
LINES = {  # lines of real logs
    "licence": "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'.",
    "part": f"ERROR: [HLS 200-1023] Part '{PART}' is not installed.",
    "y2k22": "ERROR: '2201011234' is an invalid argument: bad lexical cast: core_revision",
    "other": "ERROR: [HLS 207-812] 'ap_int.h' file not found.",
    "memory": "Killed",
}

CSYNTH = """\
<profile>

<ReportVersion>
<Version>{version}</Version>
</ReportVersion>

<UserAssignments>
<unit>ns</unit>
<ProductFamily>virtexuplusHBM</ProductFamily>
<Part>{part}</Part>
<TopModelName>{top}</TopModelName>
<TargetClockPeriod>{clock}</TargetClockPeriod>
<ClockUncertainty>1.35</ClockUncertainty>
{flow}</UserAssignments>

<PerformanceEstimates>
<PipelineType>dataflow</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>{estimated}</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>{best}</Best-caseLatency>
<Average-caseLatency>{average}</Average-caseLatency>
<Worst-caseLatency>{worst}</Worst-caseLatency>
<DataflowPipelineThroughput>
6200 ~ 6240
</DataflowPipelineThroughput>
<Interval-min>6200</Interval-min>
<Interval-max>6240</Interval-max>
</SummaryOfOverallLatency>
{loops}</PerformanceEstimates>

<AreaEstimates>
<Resources>
<FF>65881</FF>
<LUT>{lut}</LUT>
<BRAM_18K>332</BRAM_18K>
<{dsp}>29</{dsp}>
{uram}</Resources>
<AvailableResources>
<BRAM_18K>2688</BRAM_18K>
<{dsp}>5952</{dsp}>
<FF>1743360</FF>
<LUT>871680</LUT>
{uram}</AvailableResources>
</AreaEstimates>
{modules}
</profile>
"""
MODULES = """\
<ModuleInformation>
<Module>
<Name>fill</Name>
<Loops><rows><columns/></rows></Loops>
<PerformanceEstimates>
<SummaryOfTimingAnalysis><EstimatedClockPeriod>2.010</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<Best-caseLatency>6144</Best-caseLatency>
<Average-caseLatency>undef</Average-caseLatency>
<Worst-caseLatency>6146</Worst-caseLatency>
<PipelineInitiationInterval>6144 ~ 6146</PipelineInitiationInterval>
<PipelineType>loop rewind(delay=0 initiation interval(s))</PipelineType>
</SummaryOfOverallLatency>
<SummaryOfLoopLatency>
<rows>
<Name>rows</Name>
<TripCount>64</TripCount>
<Latency><range><min>6144</min><max>6146</max></range></Latency>
<IterationLatency>96</IterationLatency>
<columns>
<Name>columns</Name>
<Slack>3.65</Slack>
<TripCount>96</TripCount>
<Latency>undef</Latency>
<PipelineII>1</PipelineII>
<PipelineDepth>2</PipelineDepth>
<InstanceList/>
</columns>
</rows>
</SummaryOfLoopLatency>
</PerformanceEstimates>
<AreaEstimates><Resources><FF>3</FF><AVAIL_FF>1743360</AVAIL_FF><UTIL_FF>~0</UTIL_FF><LUT>29</LUT>
</Resources></AreaEstimates>
</Module>
<Module><Name>{top}</Name></Module>
</ModuleInformation>
"""
COSIM = """\
Report time       : Wed Jan  1 00:00:00     2025.
Solution          : solution.

+----------+----------+-----------------------------------------------+
|          |          |             Latency(Clock Cycles)             |
+   RTL    +  Status  +-----------------------------------------------+
|          |          |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+
{rows}
+----------+----------+-----------------------------------------------+
"""
NOT_RUN = "|      VHDL|        NA|  NA|  NA|  NA|  NA|  NA|  NA|  NA|"
OLD_EXPORT = """\
<profile>
<AreaReport>
<Resources><SLICE>7047</SLICE><LUT>20498</LUT><FF>15010</FF><DSP>58</DSP><BRAM>18</BRAM></Resources>
<AvailableResources><LUT>871680</LUT><FF>1743360</FF><DSP>5952</DSP><BRAM>2688</BRAM>
</AvailableResources>
</AreaReport>
<TimingReport>
<TargetClockPeriod>5.000</TargetClockPeriod><AchievedClockPeriod>6.871</AchievedClockPeriod>
</TimingReport>
</profile>
"""
EXPORT = """\
<profile>
  <RunData>
    <RUN_TYPE>{kind}</RUN_TYPE>
    <VIVADO_VERSION>v.2024.1</VIVADO_VERSION>
  </RunData>
  <TimingReport>
    <TargetClockPeriod>{target}</TargetClockPeriod>
    <AchievedClockPeriod>{achieved}</AchievedClockPeriod>
    <CP_ROUTE>NA</CP_ROUTE>
    <SLACK_ROUTE/>
    <TIMING_MET>{met}</TIMING_MET>
  </TimingReport>
  <AreaReport>
    <Resources>
      <BRAM>166</BRAM><CLB>0</CLB><DSP>29</DSP><FF>50000</FF><LUT>120000</LUT><SRL>7</SRL>
    </Resources>
    <AvailableResources><BRAM>2688</BRAM><DSP>5952</DSP><FF>1743360</FF><LUT>871680</LUT>
    </AvailableResources>
  </AreaReport>
  <RtlModules>
    <RtlModule CELL="inst" DEPTH="0" IS_TOP="1" TYPE="function" MODULENAME="{top}"/>
  </RtlModules>
  <GeneralInfo NAME="General Information"><item NAME="Target device" VALUE="{part}"/></GeneralInfo>
</profile>
"""


def csynth_xml(version="2024.1", modules=False, **changes):
    """Return a csynth.xml in the format of a tool version."""
    vivado = version < "2020.2"
    values = {
        "version": version,
        "part": PART,
        "top": TOP,
        "clock": "5.00",
        "estimated": "3.649",
        "best": "7000",
        "average": "undef",
        "worst": "29441",
        "lut": "339116",
        "loops": "",
        "dsp": "DSP48E" if vivado else "DSP",
        "flow": "" if vivado else "<FlowTarget>vitis</FlowTarget>\n",
        "uram": "" if vivado else "<URAM>0</URAM>\n",
        "modules": MODULES.format(top=TOP) if modules else "",
        **changes,
    }
    return CSYNTH.format(**values)


def cosim_rpt(*cells, rtl="Verilog", status="Pass", other=NOT_RUN):
    """Return a co-simulation report with one executed row; `cells` are its figures."""
    row = "|".join(f"{cell:>15}" for cell in cells)
    return COSIM.format(rows=f"{other}\n|{rtl:>10}|{status:>10}|{row}|")


def export_xml(kind="impl", achieved="4.321", met="TRUE", top=TOP, part=PART, target="5.000"):
    """Return an export_syn.xml or export_impl.xml, the report of Vivado's figures."""
    values = {"kind": kind, "achieved": achieved, "met": met, "top": top, "part": part}
    return EXPORT.format(**values, target=target)


def install(folder, name, generation="2024.1", flaw=""):
    """Write the stand-in `name` into `folder`, which a test puts on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    (folder / name).write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.support.hls_stand_in import main\n"
        f"main({name!r}, {generation!r}, {flaw!r})\n"
    )
    (folder / name).chmod(0o755)


def main(name, generation, flaw):
    """Do what the tool does: one step of the flow with a config file, or all steps of a script."""
    arguments = sys.argv[1:]
    if name == "v++":
        assert arguments[:3] == ["-c", "--mode", "hls"], arguments
        root = check_config("csynth", *arguments[3:])
        act("csynth", root, generation, flaw)
    elif name == "vitis-run" and "--tcl" not in arguments:
        assert arguments[:2] == ["--mode", "hls"], arguments
        step = arguments[2]
        assert step in ("--csim", "--cosim", "--impl"), arguments
        root = check_config(step[2:], *arguments[3:])
        assert step == "--csim" or (root / "syn/report").is_dir(), "not compiled"
        act(step[2:], root, generation, flaw)
    else:
        script = ["--mode", "hls", "--tcl"] if name == "vitis-run" else ["-f"]
        assert arguments == [*script, "run.tcl"], arguments
        root, steps = check_script()
        for step in steps:
            act(step, root, generation, flaw)


def check_config(step, *arguments):
    option, file, work_option, work = arguments
    wanted = "hls_cosim.cfg" if step == "cosim" else "hls_config.cfg"
    assert (option, file, work_option) == ("--config", wanted, "--work_dir"), arguments
    assert re.fullmatch("work_[0-9a-f]{12}", work)
    head, body = Path(file).read_text().split("[hls]\n")
    assert head.strip() == f"part={PART}"
    lines = [line.split("=", 1) for line in body.splitlines()]
    values = dict(lines)
    assert values["clock"] == "5ns" and values["flow_target"] == "vitis"
    assert values["syn.top"] == TOP and values["syn.cflags"] == "-std=c++14"
    macro = " -DRTL_SIM" if step == "cosim" else ""
    assert values["tb.cflags"] == f"-std=c++14{macro}"
    assert ("cosim.enable_dataflow_profiling" in values) == (step == "cosim")
    check_files([value for key, value in lines if key in ("syn.file", "tb.file")])
    return Path(work, "hls")


def check_script():
    text = Path("run.tcl").read_text()
    project = re.search(r"^open_project -reset (project_[0-9a-f]{12})$", text, re.M)[1]
    for line in (f"set_top {TOP}", f"set_part {{{PART}}}", "create_clock -period 5"):
        assert line in text.splitlines(), line
    check_files(re.findall(r"^add_files (?:-tb )?(\S+) -cflags \{-std=c\+\+14\}$", text, re.M))
    again = re.findall(r"\{add_files -tb (\S+) -cflags \{-std=c\+\+14 -DRTL_SIM\}\}", text)
    assert again == (["src/testbench.cpp"] if "cosim_design" in text else [])
    steps = re.findall(r"\{(csim|csynth|cosim|export)_design[^}]*\}", text)
    assert steps[:2] == ["csim", "csynth"]
    return Path(project, "solution"), [step.replace("export", "impl") for step in steps]


def check_files(files):
    assert files == ["src/resmlp_top.cpp", "src/testbench.cpp"], files
    for name in ("resmlp_top.hpp", "linear.hpp", "config.hpp", "params.hpp", "golden.hpp"):
        assert Path("src", name).is_file(), name
    for file in files:
        for included in re.findall(r'^#include "(.+)"', Path(file).read_text(), re.M):
            assert Path("src", included).is_file(), included


def act(step, root, generation, flaw):
    """Run one step; a flaw like `csim:licence` names the step and what goes wrong."""
    say(f"INFO: [HLS 200-10] {step} of {TOP}")
    where, _, what = flaw.partition(":")
    if where == step and what:
        go_wrong(what)
    {"csim": csim, "csynth": csynth, "cosim": cosim, "impl": impl}[step](root, generation, flaw)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def go_wrong(what):
    if what in LINES:
        say(LINES[what])
        sys.exit(1)
    if what == "hang":
        hang()
    if what == "crash":
        say("Abnormal program termination (11)")
        sys.exit(134)
    if what == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "status":
        sys.exit(3)
    if what == "nothing":
        sys.exit(0)


def hang():
    """Start a child process that ignores SIGTERM, write its pid to child.pid, and wait."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    Path("child.pid").write_text(str(child.pid))
    time.sleep(600)


def csim(root, generation, flaw):
    errors = 1 if flaw == "csim silent" else 0
    if errors:
        say("MISMATCH logits, image 3: got 5, want 6")
    text = f"INFO: [SIM 211-1] CSim done with {errors} errors."
    say(text)
    put(root / f"csim/report/{TOP}_csim.log", text + "\n")


def csynth(root, generation, flaw):
    text = csynth_xml(generation)
    if flaw == "csynth truncated":
        text = text[:700]
    if flaw == "csynth foreign":
        text = csynth_xml(generation, top="another")
    put(root / f"syn/report/{TOP}_csynth.xml", text)
    put(root / "syn/report/csynth.xml", csynth_xml(generation, modules=generation >= "2020.2"))
    put(root / "../.autopilot/db/csynth.xml", "<other/>")


def cosim(root, generation, flaw):
    cells = (8000, 8100, 8200, 6240, 6240, 6240, 51000)
    cells = cells[:6] if generation < "2020" else cells
    text = cosim_rpt(*cells)
    if flaw == "cosim zero":
        text = cosim_rpt(*[0] * 7)
    if flaw == "cosim fail":
        text = cosim_rpt(*["NA"] * 7, status="Fail")
    put(root / f"sim/report/{TOP}_cosim.rpt", text)


def impl(root, generation, flaw):
    put(root / "impl/report/verilog/export_impl.xml", export_xml())


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
