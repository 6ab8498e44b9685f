// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/framework.hpp"

#include <QtCore/qproperty.h>
#include <cstddef>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace::bench::peers {

/// Qt 6 bindable properties: a cell is a `QProperty`, a function its binding, which finds out what
/// it reads on each run. An effect of one cell is a change handler of the property; one of several
/// is the handler of a property whose binding reads them all. A batch is a property update group;
/// one write needs none: handlers run when all bindings have, so that values, and the numbers of
/// effects, are the suite's either way.
///
/// What differs are the runs of bindings. A changed property evaluates what reads it at once, depth
/// first, also at the end of a group: a binding runs once for each way that leads to it, and what
/// nobody looks at runs as well. So cellx1000 would take more runs than there is time for, and the
/// grids of 4^11 and 6^9 ways seconds for each write; they are left out. (In 6.4.2 the second of
/// these would end in freed memory besides: a binding of more than four dependencies that gets one
/// more while what it reads goes through its readers.)
class qt {
  struct holder {
    holder() = default;
    holder(holder const&) = delete;
    holder& operator=(holder const&) = delete;
    virtual ~holder() = default;
  };
  template <class T>
  struct property : holder {
    QProperty<T> of;
  };
  template <class Fn>
  struct handler : holder {
    explicit handler(QPropertyChangeHandler<Fn> h) : of(std::move(h)) {}
    QPropertyChangeHandler<Fn> of;
  };

 public:
  static constexpr std::string_view name = "qt.bindable";
  static constexpr bool has_dynamic = true;
  static constexpr bool exact_runs = false;
  static constexpr double most_paths = 100;
  static constexpr std::size_t deepest = 10'000;

  template <class T>
  struct cell {
    property<T>* at = nullptr;
  };

  qt() = default;
  qt(qt const&) = delete;
  qt& operator=(qt const&) = delete;
  /// The last property first: nothing is left that reads what goes.
  ~qt() {
    while (!all_.empty()) { all_.pop_back(); }
  }

  template <class T>
  [[nodiscard]] cell<T> input(T value) {
    cell<T> const made = add<T>();
    made.at->of.setValue(std::move(value));
    return made;
  }
  template <class Fn, class... Ts>
  [[nodiscard]] auto computed(Fn fn, cell<Ts>... of) {
    using value = std::invoke_result_t<Fn&, Ts const&...>;
    return bound<value>([fn, of...]() mutable -> value { return fn(of.at->of.value()...); });
  }
  template <class Fn, class T>
  [[nodiscard]] auto combined(Fn fn, std::vector<cell<T>> of) {
    struct view {
      std::vector<cell<T>> const* cells;
      [[nodiscard]] std::size_t size() const noexcept { return cells->size(); }
      decltype(auto) operator[](std::size_t i) const { return (*cells)[i].at->of.value(); }
    };
    using value = std::invoke_result_t<Fn&, view const&>;
    // kept beside: what a binding captures is copied on the way into it
    auto const cells = std::make_shared<std::vector<cell<T>> const>(std::move(of));
    return bound<value>([fn, cells]() mutable -> value { return fn(view{cells.get()}); });
  }
  template <class R, class Fn>
  [[nodiscard]] cell<R> dynamic(Fn fn) {
    return bound<R>([fn]() mutable -> R { return fn(reader{}); });
  }
  template <class Fn, class T>
  void effect(Fn fn, cell<T> of) {
    auto run = [fn = std::move(fn), of]() mutable { fn(of.at->of.value()); };
    run();
    all_.push_back(
        std::make_unique<handler<decltype(run)>>(of.at->of.onValueChanged(std::move(run))));
  }
  template <class Fn, class... Ts>
    requires(sizeof...(Ts) > 1)
  void effect(Fn fn, cell<Ts>... of) {
    effect([fn, of...](long) mutable { fn(of.at->of.value()...); },
           bound<long>([of..., runs = 0L]() mutable -> long {
             ((void)of.at->of.value(), ...);
             return ++runs;
           }));
  }
  template <class Fn>
  void dynamic_effect(Fn fn) {
    effect([](long) {}, bound<long>([fn, runs = 0L]() mutable -> long {
             fn(reader{});
             return ++runs;
           }));
  }
  template <class Fn>
  void batch(Fn&& fn) {
    Qt::beginPropertyUpdateGroup();
    fn([]<class T>(cell<T> c, std::type_identity_t<T> value) {
      c.at->of.setValue(std::move(value));
    });
    Qt::endPropertyUpdateGroup();
  }
  template <class T>
  void write(cell<T> c, std::type_identity_t<T> value) {
    c.at->of.setValue(
        std::move(value));  // alone it needs no group: notifiers run after all bindings
  }
  template <class T>
  [[nodiscard]] T read(cell<T> c) {
    return c.at->of.value();
  }

 private:
  struct reader {
    template <class T>
    decltype(auto) operator()(cell<T> c) const {
      return c.at->of.value();
    }
  };

  template <class T>
  cell<T> add() {
    auto made = std::make_unique<property<T>>();
    cell<T> const out{made.get()};
    all_.push_back(std::move(made));
    return out;
  }
  template <class T, class Fn>
  cell<T> bound(Fn fn) {
    cell<T> const made = add<T>();
    made.at->of.setBinding(std::move(fn));
    return made;
  }

  std::vector<std::unique_ptr<holder>> all_;
};
static_assert(suite::framework<qt>);

}  // namespace millrace::bench::peers
