#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace headgate::gateway {

// What is at an address of this process, for people: "headgate::gateway::exchange (exchange.cpp:287)". Read from the
// program's own files with elfutils; of a program without symbols the module and the offset. Costs some milliseconds
// and megabytes while it lives. Used by one thread.
class symbols {
public:
    symbols();
    symbols(const symbols&) = delete;
    symbols& operator=(const symbols&) = delete;
    ~symbols();

    // Of a function's beginning.
    std::string function(const void* code) const;
    // Of an address to which a call returns.
    std::string call(const void* return_address) const;

private:
    struct library;
    std::string name(std::uintptr_t at) const;

    std::unique_ptr<library> dwfl_;
};

// A function's name without what makes it long: its parameters, template arguments, return type, and the names of
// namespaces that everything is in.
std::string short_name(std::string_view demangled);

} // namespace headgate::gateway
