#include <headgate/io/client_hello.hpp>

#include <algorithm>

#include <fuzz/check.hpp>
#include <fuzz/target.hpp>

using namespace headgate;
using namespace headgate::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using state = client_hello::state;
    if (size < 2) return 0;
    const exact_bytes in(data + 2, size - 2);
    const std::size_t most = (data[1] & 1) != 0 ? 16 * 1024 : 200;
    const std::string_view text = in.text();
    const client_hello whole = read_client_hello(text, most);
    const std::string_view reason = whole.reason;
    check(reason.empty() == (whole.what != state::malformed),
          "there is a reason for what is malformed, and for nothing else");
    check(whole.server_name.size() <= 255, "a name has a bound");
    check(std::ranges::all_of(whole.server_name, [](char c) { return c > ' ' && c < 0x7f && c != '*' && c != '/'; }),
          "a name can be logged and compared");
    if (whole.what == state::need_more)
        check(whole.needed > text.size() && whole.needed <= most, "more is needed, but no more than is allowed");

    // What was read before all was there says nothing else.
    const exact_bytes front(data + 2, text.empty() ? 0 : data[0] % text.size());
    const client_hello part = read_client_hello(front.text(), most);
    if (part.what == state::need_more) {
        if (whole.what != state::need_more && whole.what != state::malformed)
            check(part.needed <= text.size(), "no more is waited for than there is");
    } else {
        check(part.what == whole.what, "the verdict does not change with what follows");
        check_equal(part.server_name, whole.server_name, "nor the name");
    }
    return 0;
}

std::string headgate::fuzz::after_corpus() { return {}; }
