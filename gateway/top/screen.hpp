#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gateway/top/answers.hpp>

// What `headgate top` shows, drawn from what it knows. Nothing here does I/O.
namespace headgate::gateway::top {

struct screen_size {
    std::size_t columns = 80;
    std::size_t rows = 24;
};

struct order {
    std::string_view key;  // of the API
    std::string_view name; // for people
};
inline constexpr order orders[] = {{"stalled", "longest stalled"},
                                   {"held", "most bytes held"},
                                   {"age", "oldest"},
                                   {"hold", "longest hold of a connection"},
                                   {"bytes", "most bytes moved"}};

struct state {
    enum class mode { list, inspect, help } shows = mode::list;
    enum class prompt { none, filter, abort } asks = prompt::none;

    std::string where{};   // the admin server
    std::string problem{}; // why there is nothing new; empty if there is
    std::string message{}; // of the last thing done
    std::optional<overview> all{};
    flow_list list{};
    std::optional<flow_row> inspected{}; // more of the one that is chosen
    std::string chosen{};                // the id; empty: the first
    std::size_t first = 0;               // the flow at the top of the list
    std::size_t sorted_by = 0;           // of `orders`
    std::string filter{};
    std::string typed{}; // at the prompt
    bool paused = false;
    bool colours = true;

    // The index of the chosen flow; 0 if it has ended.
    std::size_t chosen_index() const;
    const flow_row* chosen_flow() const;
    // Another one, `by` places further on, as far as there are any.
    void move(std::ptrdiff_t by);
};

// How many flows a screen has room for.
std::size_t list_rows(screen_size size);

// The lines of the screen, at most size.rows of them, none wider than size.columns. Scrolls, so that the chosen flow is
// seen.
std::vector<std::string> draw(state& s, screen_size size);

// The one sentence that says how things are. `whole`: `flows` begin with those that have stalled for longest.
std::string headline(const overview& o, const std::vector<flow_row>& flows, bool whole);

} // namespace headgate::gateway::top
