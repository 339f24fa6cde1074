/// Included before everything else, it makes a compiler see the design as the HLS tool's front end
/// does: with __SYNTHESIS__, without taps, and with registers of the proven widths. The open
/// headers of ap_int and streams come first, because under that macro they are the tool's own.
#pragma once

#include <ap_int.h>
#include <hls_stream.h>

#include <cassert>
#include <cstdint>

#define __SYNTHESIS__
