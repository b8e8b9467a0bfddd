#include <headgate/core/sleep.hpp>
#include <headgate/core/waits.hpp>

namespace headgate {

task<> wait_for(duration d) { co_await sleep_for(d); }
task<> wait_for(abort_signal s) { co_await s.wait(); }

} // namespace headgate
