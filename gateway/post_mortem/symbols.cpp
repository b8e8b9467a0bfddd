#include <cstdlib>
#include <string_view>

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <gateway/post_mortem/symbols.hpp>

namespace headgate::gateway {

namespace {

std::string demangled(const char* name) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                           &std::free);
    return status == 0 ? short_name(text.get()) : name;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// " (file:line)". clang writes no table of the addresses of each unit, so the units are asked one by one.
std::string line_of(Dwfl_Module* module, Dwarf_Addr at) {
    Dwarf_Addr bias = 0;
    for (Dwarf_Die* unit = nullptr; (unit = dwfl_module_nextcu(module, unit, &bias));) {
        if (dwarf_haspc(unit, at - bias) <= 0) continue;
        Dwarf_Line* const line = dwarf_getsrc_die(unit, at - bias);
        const char* const source = line ? dwarf_linesrc(line, nullptr, nullptr) : nullptr;
        int number = 0;
        if (!source || dwarf_lineno(line, &number) != 0) return {};
        return fmt::format(" ({}:{})", file_name(source), number);
    }
    return {};
}

} // namespace

std::string short_name(std::string_view text) {
    std::string out;
    std::size_t depth = 0;
    while (!text.empty()) {
        const auto skip = [&](std::string_view what) {
            if (!text.starts_with(what)) return false;
            text.remove_prefix(what.size());
            return true;
        };
        if (depth == 0 && (skip("(anonymous namespace)::") || skip("headgate::") || skip("gateway::"))) continue;
        if (depth == 0 && skip("operator()")) {
            out += "operator()";
            continue;
        }
        const char c = text.front();
        text.remove_prefix(1);
        if (c == '<' || c == '(' || c == '[') ++depth;
        if (depth == 0 && c == ' ')
            out.clear(); // that was the type of what it returns
        else if (depth == 0)
            out += c;
        if ((c == '>' || c == ')' || c == ']') && depth != 0 && --depth == 0 && c == ')' && !out.empty())
            break; // but for "decltype (what) name"
    }
    return out;
}

struct symbols::library {
    Dwfl_Callbacks calls{.find_elf = dwfl_linux_proc_find_elf,
                         .find_debuginfo = dwfl_standard_find_debuginfo,
                         .section_address = nullptr,
                         .debuginfo_path = nullptr};
    Dwfl* session = nullptr;
};

symbols::symbols() : dwfl_(std::make_unique<library>()) {
    Dwfl* const d = dwfl_begin(&dwfl_->calls);
    if (!d) return;
    dwfl_report_begin(d);
    if (dwfl_linux_proc_report(d, ::getpid()) == 0 && dwfl_report_end(d, nullptr, nullptr) == 0)
        dwfl_->session = d;
    else
        dwfl_end(d);
}

symbols::~symbols() {
    if (dwfl_->session) dwfl_end(dwfl_->session);
}

std::string symbols::name(std::uintptr_t at) const {
    Dwfl_Module* const module = dwfl_->session ? dwfl_addrmodule(dwfl_->session, at) : nullptr;
    if (!module) return fmt::format("{:#x}", at);
    const char* const symbol = dwfl_module_addrname(module, at);
    Dwarf_Addr base = 0;
    const char* const file = dwfl_module_info(module, nullptr, &base, nullptr, nullptr, nullptr, nullptr, nullptr);
    std::string out = symbol ? demangled(symbol) : fmt::format("{}+{:#x}", file_name(file ? file : "?"), at - base);
    if (symbol) out += line_of(module, at);
    return out;
}

std::string symbols::function(const void* code) const { return name(reinterpret_cast<std::uintptr_t>(code)); }

// The call is before the address to which it returns.
std::string symbols::call(const void* return_address) const {
    return name(reinterpret_cast<std::uintptr_t>(return_address) - 1);
}

} // namespace headgate::gateway
