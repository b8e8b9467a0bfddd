#include <algorithm>
#include <cstring>

#include <gateway/client_table.hpp>

namespace headgate::gateway {

client_key key_of_client(const in6_addr& ip) noexcept {
    client_key k;
    std::memcpy(k.data(), &ip, k.size());
    if (!IN6_IS_ADDR_V4MAPPED(&ip)) std::fill(k.begin() + 8, k.end(), '\0');
    return k;
}

bool client_table::enter(const in6_addr& ip) {
    const key k = key_of_client(ip);
    shard& s = shard_of(k);
    const std::lock_guard lock(s.mutex);
    std::size_t& n = s.connections[k];
    if (n >= connections_max_) return false;
    ++n;
    return true;
}

void client_table::leave(const in6_addr& ip) noexcept {
    const key k = key_of_client(ip);
    shard& s = shard_of(k);
    const std::lock_guard lock(s.mutex);
    if (const auto i = s.connections.find(k); i != s.connections.end() && --i->second == 0) s.connections.erase(i);
}

std::size_t client_table::clients() const {
    std::size_t n = 0;
    for (const shard& s : shards_) {
        const std::lock_guard lock(s.mutex);
        n += s.connections.size();
    }
    return n;
}

client_peer::client_peer(const peer_address& a, client_table* table, bool counts) : peer_address(a), table_(table) {
    if (counts) enter();
}

void client_peer::enter() {
    if (!table_ || IN6_IS_ADDR_UNSPECIFIED(&ip)) return;
    admitted_ = counted_ = table_->enter(ip);
}

bool client_peer::become(const peer_address& a) {
    leave();
    static_cast<peer_address&>(*this) = a;
    admitted_ = true;
    enter();
    return admitted_;
}

} // namespace headgate::gateway
