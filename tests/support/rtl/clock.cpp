// Runs a clock until every sink is done, and `extra` cycles more, in which nothing may come.
#include <cstdio>
#include <cstdlib>

#include "Vtop.h"

int main(int, char** argv) {
  const long limit = std::atol(argv[1]), extra = std::atol(argv[2]);
  Vtop top;
  const auto tick = [&top] {
    top.clk = 0;
    top.eval();
    top.clk = 1;
    top.eval();
  };
  top.rst = 1;
  tick();
  tick();
  top.rst = 0;
  long cycle = 0;
  while (!top.done && cycle++ < limit) tick();
  if (!top.done) std::puts("some unit is stuck");
  for (cycle = 0; cycle < extra; ++cycle) tick();
  top.final();
}
