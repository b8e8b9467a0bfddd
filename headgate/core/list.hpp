#pragma once

namespace headgate {

// A link of a circular, intrusive, doubly linked list. A node is in at most one list and leaves it when it is
// destroyed, so whatever waits in a list may be dropped at any time. A list is a node of its own that only marks the
// ends.
struct list_node {
    list_node* prev = this;
    list_node* next = this;

    list_node() = default;
    list_node(const list_node&) = delete;
    list_node& operator=(const list_node&) = delete;
    ~list_node() { unlink(); }

    // Whether the node is in a list; of a list's own node: whether the list has members.
    bool linked() const noexcept { return next != this; }

    // Takes the node out of its list, if it is in one.
    void unlink() noexcept {
        prev->next = next;
        next->prev = prev;
        prev = next = this;
    }

    // Inserts `node`, which must not be linked, before this one; on a list's own node: at the end.
    void push_back(list_node& node) noexcept {
        node.prev = prev;
        node.next = this;
        prev->next = &node;
        prev = &node;
    }

    // Inserts `node`, which must not be linked, after this one; on a list's own node: at the beginning.
    void push_front(list_node& node) noexcept { next->push_back(node); }

    // Moves all members of `other` to the end of this list. Both are the lists' own nodes.
    void take_all(list_node& other) noexcept {
        if (!other.linked()) return;
        other.next->prev = prev;
        prev->next = other.next;
        other.prev->next = this;
        prev = other.prev;
        other.prev = other.next = &other;
    }
};

} // namespace headgate
