// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "calendar.hpp"
#include "update.hpp"
#include <millrace/core/backend.hpp>

#include <charconv>
#include <cstdint>
#include <getopt.h>
#include <string>
#include <string_view>

namespace revalue {

/// How the summary and the results are written.
enum class format { table, csv, json };

/// What the program was asked to do.
struct arguments {
  std::string underlying;  ///< empty: the bundled series
  std::string options;     ///< empty: no option quotes
  std::string book;        ///< empty: generated
  std::string date;        ///< YYYYMMDD of the option quotes; empty: in their file's name
  std::string out;         ///< empty: results are not written
  std::string picture;     ///< empty: memory is not drawn
  revalue::format format = revalue::format::table;
  millrace::core::backend backend;
  std::uint32_t workers = 0;  ///< 0: as many as fit
  std::size_t size = 0;       ///< options of a generated book; 0: by the kind of series
  std::uint32_t batch = 0;    ///< updates that travel together; 0: each alone
  std::uint64_t memory = 0;   ///< bytes of state at most; 0: as many as it takes
  double rate = 0.01;         ///< continuously compounded, per year
  double dividend = 0;        ///< continuous yield, per year
  bool quiet = false;
  bool help = false;
  std::string problem;  ///< what is wrong with the command line; empty when nothing is
};

inline constexpr char const* usage =
    R"(revalue [options]: keeps a book of European options revalued while prices stream in

  --underlying FILE   prices of the underlying, a CSV: daily closes, trades or quotes
                      (default: the S&P 500's daily closes 2000 to 2020, bundled)
  --options FILE      quotes of an option chain on it, a CSV; implies the volatilities
  --date YYYYMMDD     the day of the option quotes (default: the date in the file's name)
  --book FILE         the book, a CSV: id,desk,type,strike,expiry_days,vol,quantity
                      (default: generated, in 8 desks, around the first price)
  --size N            options of a generated book (default: 20000 for daily prices, else 2000)
  --rate R            continuously compounded interest rate (default: 0.01)
  --dividend Q        continuous dividend yield (default: 0)
  --backend B         auto, host, cuda or cuda:N (default: auto)
  --workers N         host threads or device blocks that price (default: as many as fit)
  --batch N           send N updates together, 1 to 1024, as encoded runs in which the newest
                      of each instrument remains; on host threads (default: each alone)
  --memory-budget N   bytes that the state may take: desks, results and the queue's lanes
                      (default: as many as it takes; the summary says how many)
  --heatmap FILE      draw the state's memory, an HTML page that needs no other file
  --out FILE          write every result: after each update, of each desk, of each option
  --format F          of summary and results: table, csv or json (default: table)
  --quiet             no progress bar and no summary
  --help              this text
)";

/// Reads the command line. @thread one: getopt keeps its place in globals
[[nodiscard]] inline arguments parse_arguments(int count, char** words) {
  static constexpr option known[] = {{"underlying", required_argument, nullptr, 'u'},
                                     {"options", required_argument, nullptr, 'p'},
                                     {"date", required_argument, nullptr, 'd'},
                                     {"book", required_argument, nullptr, 'b'},
                                     {"size", required_argument, nullptr, 's'},
                                     {"rate", required_argument, nullptr, 'r'},
                                     {"dividend", required_argument, nullptr, 'y'},
                                     {"backend", required_argument, nullptr, 'k'},
                                     {"workers", required_argument, nullptr, 'w'},
                                     {"batch", required_argument, nullptr, 'n'},
                                     {"memory-budget", required_argument, nullptr, 'm'},
                                     {"heatmap", required_argument, nullptr, 'e'},
                                     {"out", required_argument, nullptr, 'o'},
                                     {"format", required_argument, nullptr, 'f'},
                                     {"quiet", no_argument, nullptr, 'q'},
                                     {"help", no_argument, nullptr, 'h'},
                                     {nullptr, 0, nullptr, 0}};
  arguments out;
  auto const wrong = [&](std::string_view name, char const* wanted) {
    out.problem = "--" + std::string(name) + " needs " + wanted + ", not '" + optarg + "'";
  };
  auto const number = [&](auto& value, auto least, auto most, std::string_view name,
                          char const* wanted) {
    std::string_view const text = optarg;
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool const whole = code == std::errc{} && end == text.data() + text.size();
    if (!whole || !(value >= least && value <= most)) { wrong(name, wanted); }
  };
  opterr = 0;
  optind = 1;
  for (int which;
       out.problem.empty() && (which = getopt_long(count, words, ":", known, nullptr)) != -1;) {
    switch (which) {
      case 'u': out.underlying = optarg; break;
      case 'p': out.options = optarg; break;
      case 'b': out.book = optarg; break;
      case 'o':
        out.out = optarg;
        if (out.out.empty()) { wrong("out", "a file's name"); }
        break;
      case 'e':
        out.picture = optarg;
        if (out.picture.empty()) { wrong("heatmap", "a file's name"); }
        break;
      case 'q': out.quiet = true; break;
      case 'h': out.help = true; break;
      case 's': number(out.size, 1u, 50'000'000u, "size", "a number from 1 to 50000000"); break;
      case 'w': number(out.workers, 1u, 256u, "workers", "a number from 1 to 256"); break;
      case 'n':
        number(out.batch, 1u, static_cast<unsigned>(most_batched), "batch",
               "a number from 1 to 1024");
        break;
      case 'm':
        number(out.memory, std::uint64_t{1}, std::uint64_t{1} << 46, "memory-budget",
               "bytes, from 1 to 64 TiB");
        break;
      case 'r': number(out.rate, -1.0, 1.0, "rate", "a rate from -1 to 1"); break;
      case 'y': number(out.dividend, -1.0, 1.0, "dividend", "a yield from -1 to 1"); break;
      case 'd':
        out.date = optarg;
        if (!days_of(out.date)) { wrong("date", "a date YYYYMMDD"); }
        break;
      case 'k':
        if (auto const where = millrace::core::parse_backend(optarg)) {
          out.backend = *where;
        } else {
          wrong("backend", "auto, host, cuda or cuda:N");
        }
        break;
      case 'f': {
        std::string_view const name = optarg;
        if (name == "table") {
          out.format = format::table;
        } else if (name == "csv") {
          out.format = format::csv;
        } else if (name == "json") {
          out.format = format::json;
        } else {
          wrong("format", "table, csv or json");
        }
        break;
      }
      case ':': out.problem = std::string(words[optind - 1]) + " needs a value"; break;
      default: out.problem = std::string("unknown option '") + words[optind - 1] + "'";
    }
  }
  if (out.problem.empty() && optind < count) {
    out.problem = std::string("unexpected argument '") + words[optind] + "'";
  }
  if (out.problem.empty() && !out.options.empty() && out.underlying.empty()) {
    out.problem = "--options needs --underlying, the prices of what the options are on";
  }
  if (out.problem.empty() && !out.options.empty() && !out.book.empty()) {
    out.problem = "--options brings its own book of one of each option; leave --book away";
  }
  if (out.problem.empty() && !out.out.empty() && out.out == out.picture) {
    out.problem = "--out and --heatmap name one file; each writes its own";
  }
  if (out.problem.empty() && out.batch != 0 &&
      out.backend.kind() == millrace::core::backend_kind::cuda) {
    out.problem = "--batch needs host threads, which decode the batches; leave --backend cuda away";
  }
  return out;
}

}  // namespace revalue
