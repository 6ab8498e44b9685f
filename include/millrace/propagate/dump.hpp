// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/graph.hpp>

#include <new>
#include <string>

/// \file
/// A graph's shape as text, for people (DOT) and programs (JSON). A node is known by its slot, and
/// by its name if it has one. Values are not shown: the graph does not know how.

namespace millrace::inline v0::propagate {

namespace detail {

[[nodiscard]] inline char const* dot_shape(role r) noexcept {
  if (observes(r)) { return "note"; }
  return r == role::input ? "ellipse" : "box";
}

/// `write` appends to a Text, which may throw where memory is missing.
template <class Text = std::string, class Write>
[[nodiscard]] result<Text> text_of(Write write) noexcept {
  try {
    Text text;
    write(text);
    return text;
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace detail

/// The graph in the language of Graphviz: `dot -Tsvg`. What nobody needs is grey, what has failed
/// red; dependencies that were found by tracking are dashed.
/// @error errc::out_of_memory
template <graph_policy P>
[[nodiscard]] result<std::string> to_dot(basic_graph<P> const& of) noexcept {
  return detail::text_of([&](std::string& to) {
    to += "digraph propagate {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n";
    of.visit([&](node_view const& n) {
      std::string const id = "n" + std::to_string(n.id.slot);
      to += "  " + id + " [shape=" + detail::dot_shape(n.is) + ", label=\"" +
            (n.name != 0 ? std::to_string(n.name) : "#" + std::to_string(n.id.slot)) + "\\n" +
            describe(n.is) + "\"";
      if (n.failed) {
        to += ", color=red";
      } else if (!n.needed) {
        to += ", color=grey, fontcolor=grey";
      }
      to += "];\n";
      of.visit_sources(n.id, [&](node_id source) {
        to += "  n" + std::to_string(source.slot) + " -> " + id +
              (tracks(n.is) ? " [style=dashed]" : "") + ";\n";
      });
    });
    to += "}\n";
  });
}

/// {"nodes":[{"id":0,"name":7,"is":"input","needed":true,"failed":false,"from":[]},...]}, each
/// after what it depends on, inputs anywhere. `name` is null where there is none; names are whole
/// numbers up to 2^64 - 1, which not every reader keeps exactly.
/// @error errc::out_of_memory
template <graph_policy P>
[[nodiscard]] result<std::string> to_json(basic_graph<P> const& of) noexcept {
  return detail::text_of([&](std::string& to) {
    to += "{\"nodes\":[";
    char const* before = "";
    of.visit([&](node_view const& n) {
      to += before;
      to += "{\"id\":" + std::to_string(n.id.slot) +
            ",\"name\":" + (n.name != 0 ? std::to_string(n.name) : "null") + ",\"is\":\"" +
            describe(n.is) + "\",\"needed\":" + (n.needed ? "true" : "false") +
            ",\"failed\":" + (n.failed ? "true" : "false") + ",\"from\":[";
      char const* comma = "";
      of.visit_sources(n.id, [&](node_id source) {
        to += comma + std::to_string(source.slot);
        comma = ",";
      });
      to += "]}";
      before = ",";
    });
    to += "]}";
  });
}

}  // namespace millrace::inline v0::propagate
