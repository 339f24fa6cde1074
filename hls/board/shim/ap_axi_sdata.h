/// Stand-in for the tool's header of AXI4-Stream words, for C-simulation with g++.
#pragma once

#include <ap_int.h>

/// A word of an AXI4-Stream with TKEEP, TSTRB and TLAST; the tool's type has the same members.
/// \tparam bits  Width of TDATA, a multiple of 8; user, id and dest are not supported
template <int bits, int user, int id, int dest>
struct ap_axiu {
  static_assert(bits % 8 == 0 && user == 0 && id == 0 && dest == 0,
                "the stand-in has no user, id and dest");
  ap_uint<bits> data;
  ap_uint<bits / 8> keep, strb;
  ap_uint<1> last;
};
