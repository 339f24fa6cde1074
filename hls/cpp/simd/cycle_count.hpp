/// Cycle counters for the test that compares the cycle model with the C++ loops. If COUNT_CYCLES is
/// defined, each iteration of a pipelined loop of the processor is counted under its part.
#pragma once

#include "program.hpp"

/// Parts of the work that are not steps.
constexpr int start_part = num_kinds, logits_part = num_kinds + 1, num_parts = num_kinds + 2;

#ifdef COUNT_CYCLES
/// Iterations per part; the index is a Kind or one of the parts above.
extern long cycle_counts[num_parts];
#define COUNT_CYCLE(part) ++cycle_counts[part]
#else
#define COUNT_CYCLE(part)
#endif
