/// Markers for the calls in a dataflow region.
///
/// PROCESS marks the call of a unit, REGION the call of a function of several units. For the HLS
/// compiler and in C-simulation both are plain calls; the HLS compiler inlines a REGION, so all
/// units are processes of one flat region. In the deadlock check, hls/cpp/threaded/hls_stream.h
/// replaces the tool's header and defines both as threads; this checks the FIFO depths without a
/// licence.
#pragma once

#ifndef PROCESS
#define PROCESS(...) __VA_ARGS__
#define REGION(...) __VA_ARGS__
#endif
