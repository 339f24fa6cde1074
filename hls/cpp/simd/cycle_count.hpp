/// A hook for a test that compares the cycle model with the loops: with COUNT_CYCLES, every trip of
/// a pipelined loop of the processor is counted, by its part of the work.
#pragma once

#include "program.hpp"

/// Parts of the work that are no step.
constexpr int start_part = num_kinds, logits_part = num_kinds + 1, num_parts = num_kinds + 2;

#ifdef COUNT_CYCLES
/// Trips per part: a Kind or one of the above.
extern long cycle_counts[num_parts];
#define COUNT_CYCLE(part) ++cycle_counts[part]
#else
#define COUNT_CYCLE(part)
#endif
