/// The calls of a dataflow region.
///
/// PROCESS marks the call of a unit and REGION the call of a region inside; to the HLS compiler and
/// in C-simulation both are the plain call. hls/cpp/threaded/hls_stream.h, found instead of the
/// tool's, defines them as threads, which checks the FIFO depths without a licence.
#pragma once

#ifndef PROCESS
#define PROCESS(...) __VA_ARGS__
#define REGION(...) __VA_ARGS__
#endif
