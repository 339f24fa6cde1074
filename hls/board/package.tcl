# Pack the kernel that run.tcl synthesised in this folder.
if {[catch {
  open_project {@PROJECT@}
  open_solution solution
  export_design -rtl verilog @EXPORT@
} message]} {
  puts "ERROR: $message"
  exit 1
}
exit 0
