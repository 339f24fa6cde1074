# Synthesise both movers and pack them as mm2s.xo and s2mm.xo.
foreach kernel {mm2s s2mm} {
  open_project -reset project_$kernel
  set_top $kernel
  add_files $kernel.cpp -cflags {-std=c++14 -I../hls/src}
  open_solution -reset solution -flow_target vitis
  set_part {@PART@}
  create_clock -period @CLOCK_NS@
  foreach step [list csynth_design "export_design -format xo -output $kernel.xo"] {
    if {[catch $step message]} {
      puts "ERROR: $kernel, $step: $message"
      exit 1
    }
  }
  close_project
}
exit 0
