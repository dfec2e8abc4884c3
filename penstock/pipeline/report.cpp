#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <locale>
#include <ostream>
#include <sstream>
#include <thread>

#include <penstock/base/exception_text.hpp>
#include <penstock/pipeline/report.hpp>

namespace penstock {
namespace {

using std::chrono::nanoseconds;

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * share);
  return text;
}

// The length of the UTF-8 sequence that starts at `at`; 0 if there is none. (Unicode 15, table 3-7.)
std::size_t utf8_length(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned lead = byte(at), second = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return tail(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead < 0xF0) {
    const bool odd = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F);
    return !odd && tail(at + 1) && tail(at + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead < 0xF5) {
    const bool odd = (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
    return !odd && tail(at + 1) && tail(at + 2) && tail(at + 3) ? 4 : 0;
  }
  return 0;
}

// As a JSON string. Names of files are bytes: what is not UTF-8 becomes U+FFFD, so that the whole stays valid.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", unsigned{byte});
      out += escape;
    } else {
      out.append(text, i, length);
    }
    i += length ? length : 1;
  }
  return out + '"';
}

std::string plural(std::uint64_t n, const char* word) { return std::to_string(n) + ' ' + word + (n == 1 ? "" : "s"); }

void json_quantiles(std::ostream& out, const duration_quantiles& q) {
  out << R"({"samples":)" << q.samples << R"(,"p50_ns":)" << q.p50.count() << R"(,"p90_ns":)" << q.p90.count()
      << R"(,"p99_ns":)" << q.p99.count() << R"(,"max_ns":)" << q.max.count() << '}';
}

double seconds(nanoseconds d) { return static_cast<double>(d.count()) * 1e-9; }

// How many processors all stages together kept at work.
double processors_used(const report& r) {
  double used = 0;
  for (const stage_report& s : r.stages) used += s.busy * s.processor * static_cast<double>(s.workers);
  return used;
}

// The stage that would be full next if `first` were relieved.
const stage_report* next_limit(const report& r, std::size_t first) {
  const stage_report* next = nullptr;
  for (std::size_t i = 1; i < r.stages.size(); ++i)
    if (i != first && (!next || r.stages[i].busy > next->busy)) next = &r.stages[i];
  return next;
}

std::string relief(const report& r, std::size_t index) {
  const stage_report& stage = r.stages[index];
  const double cores = std::max(1u, std::thread::hardware_concurrency());
  const double used = processors_used(r);
  const bool computes = stage.processor + stage.crowded > .6;
  char text[200];
  if (computes && used > .85 * cores) {
    std::snprintf(text, sizeof text,
                  "it computes, and the processors are full (%.1f of %.0f): a cheaper function or more processors "
                  "would raise the rate",
                  used, cores);
    return text;
  }
  if (computes && stage.crowded > .25)
    return "it computes, and other programs keep it waiting for a processor " + percent(stage.crowded) +
           " of that time: the rate rises when those end, or with more processors";
  const std::string more = stage.in_flight ? "more than " + std::to_string(stage.in_flight) + " in flight"
                           : stage.least_workers == stage.most_workers
                               ? "more workers than " + std::to_string(stage.workers)
                               : "a range that ends above " + std::to_string(stage.most_workers);
  std::string advice;
  if (stage.in_flight && stage.thread > .9 * stage.busy)
    advice = computes
                 ? "it computes, all on one thread, and processors are free: a stage of threads would raise the rate"
                 : "its one thread waits in the function: a stage of threads, or on() a pool, would raise the rate";
  else if (computes)
    advice = "it computes, and processors are free: " + more + " would raise the rate";
  else
    advice = "it mostly waits for something outside: " + more + " would raise the rate";
  if (const stage_report* next = next_limit(r, index); next && next->busy > .05)
    advice += " until \"" + next->name + "\" (" + percent(next->busy) + " busy) is full";
  return advice;
}

}  // namespace

std::string_view to_string(scaling_reason r) noexcept {
  switch (r) {
    case scaling_reason::none:
      return "none";
    case scaling_reason::waits_outside:
      return "work waited, and its workers mostly wait for something outside";
    case scaling_reason::processors_free:
      return "work waited, and processors were free";
    case scaling_reason::no_gain:
      return "more had not raised the rate";
    case scaling_reason::idle:
      return "the others had nothing to do";
    case scaling_reason::no_thread:
      return "the system gave no more threads";
  }
  return "?";
}

std::string_view to_string(outcome o) noexcept {
  switch (o) {
    case outcome::running:
      return "running";
    case outcome::completed:
      return "completed";
    case outcome::drained:
      return "drained";
    case outcome::cancelled:
      return "cancelled";
    case outcome::failed:
      return "failed";
  }
  return "?";
}

std::string duration_text(nanoseconds d) {
  const double ns = static_cast<double>(d.count());
  char text[48];
  if (ns < 1e3) {
    std::snprintf(text, sizeof text, "%.0f ns", ns);
  } else if (ns < 1e6) {
    std::snprintf(text, sizeof text, ns < 1e4 ? "%.1f µs" : "%.0f µs", ns * 1e-3);
  } else if (ns < 1e9) {
    std::snprintf(text, sizeof text, ns < 1e7 ? "%.1f ms" : "%.0f ms", ns * 1e-6);
  } else if (ns < 60e9) {
    std::snprintf(text, sizeof text, "%.1f s", ns * 1e-9);
  } else if (ns < 3600e9) {
    const auto s = static_cast<long>(ns * 1e-9);
    std::snprintf(text, sizeof text, "%ld min %ld s", s / 60, s % 60);
  } else {
    const auto m = static_cast<long>(ns * 1e-9 / 60);
    std::snprintf(text, sizeof text, "%ld h %ld min", m / 60, m % 60);
  }
  return text;
}

bool report::sums_meet() const noexcept {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const stage_report& s = stages[i];
    if (s.in != s.passed + s.filtered + s.failed + s.dead_lettered + s.returned) return false;
    if (i > 0 && stages[i - 1].out != s.in) return false;
  }
  return delivered + filtered + failed + dead_lettered + returned == entered + expanded;
}

std::size_t report::bottleneck() const noexcept {
  if (stages.size() < 2 || wall.count() == 0 || stages.back().in == 0) return npos;
  std::size_t fullest = 1;
  for (std::size_t i = 2; i < stages.size(); ++i)
    if (stages[i].busy + stages[i].paused > stages[fullest].busy + stages[fullest].paused) fullest = i;
  // When the source hardly ever waits for room and no stage is full, it is the source that sets the pace.
  const double full = stages[fullest].busy + stages[fullest].paused;
  if (full < .8 && stages[0].blocked < .1) return 0;
  return full < .4 ? npos : fullest;
}

std::string report::bottleneck_sentence() const {
  const std::size_t index = bottleneck();
  if (index == npos && (stages.size() < 2 || stages.back().in == 0))
    return "No bottleneck to name: nothing went through.";
  if (index == npos)
    return "No stage is more than " + percent(next_limit(*this, 0)->busy) +
           " busy: the time goes into handing items over; more work per item or larger capacities would raise the "
           "rate.";
  const stage_report& stage = stages[index];
  if (index == 0) {
    const stage_report* fullest = next_limit(*this, 0);
    return "The source sets the pace: no stage is more than " + percent(fullest->busy) +
           " busy, so items that come faster would raise the rate until \"" + fullest->name + "\" is full.";
  }
  std::string evidence;
  if (stages[index - 1].blocked > .05)
    evidence = ", and " + (index == 1 ? std::string("the source") : '"' + stages[index - 1].name + '"') +
               " waits for it " + percent(stages[index - 1].blocked) + " of the time";
  const std::string its =
      "\"" + stage.name + "\" is the bottleneck: its " +
      (stage.in_flight ? std::to_string(stage.in_flight) + " in flight" : plural(stage.workers, "worker"));
  if (stage.paused > stage.busy)
    return its + " wait " + percent(stage.paused) + " of the time for the next attempt" + evidence +
           "; fewer failures, more " + (stage.in_flight ? "in flight" : "workers") +
           " or a shorter backoff would raise the rate.";
  return its + (stage.at_once() == 1 ? " is " : " are ") + percent(stage.busy) + " busy" + evidence + "; " +
         relief(*this, index) + '.';
}

namespace {
// What became of a range of workers, and why.
void print_scaling(std::ostream& out, const stage_report& s) {
  out << '"' << s.name << "\" has " << plural(s.workers, "worker") << ", of " << s.least_workers << " to "
      << s.most_workers;
  if (s.scaling.empty()) {
    out << ": nothing called for another number\n";
    return;
  }
  std::size_t highest = s.workers;
  for (const scaling_step& step : s.scaling) highest = std::max({highest, step.from, step.to});
  out << " (" << plural(s.scaling.size(), "change") << ", up to " << highest << "; the last after "
      << duration_text(s.scaling.back().at) << ", from " << s.scaling.back().from << " to " << s.scaling.back().to
      << ", because " << to_string(s.scaling.back().why) << ")\n";
}
}  // namespace

std::ostream& print_numbers(std::ostream& out, const report& r) {
  std::size_t width = 6;
  for (const stage_report& s : r.stages) width = std::max(width, s.name.size());
  char line[256];
  // Eighty columns with a stage name of eight.
  std::snprintf(line, sizeof line, "%-*s %7s %6s %6s %6s %7s %7s %6s %8s %8s\n", static_cast<int>(width), "stage",
                "workers", "in", "out", "busy", "starved", "blocked", "failed", "p50", "p99");
  out << line;
  for (const stage_report& s : r.stages) {
    std::snprintf(line, sizeof line, "%-*s %7zu %6" PRIu64 " %6" PRIu64 " %6s %7s %7s %6" PRIu64 " ",
                  static_cast<int>(width), s.name.c_str(), s.at_once(), s.in, s.out, percent(s.busy).c_str(),
                  percent(s.starved).c_str(), percent(s.blocked).c_str(), s.failed + s.dead_lettered);
    // By hand, because printf counts the two bytes of µ as two columns.
    const auto right = [](const std::string& text) {
      const auto columns =
          static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
      return std::string(columns < 8 ? 8 - columns : 0, ' ') + text;
    };
    out << line << right(s.service.samples ? duration_text(s.service.p50) : "-") << ' '
        << right(s.service.samples ? duration_text(s.service.p99) : "-") << '\n';
  }
  out << to_string(r.outcome) << " in " << duration_text(r.wall) << ": " << r.entered << " entered";
  if (r.expanded) out << " and became " << r.entered + r.expanded;
  out << " = " << r.delivered << " delivered";
  const auto also = [&](std::uint64_t n, const char* what) {
    if (n) out << " + " << n << ' ' << what;
  };
  also(r.filtered, "filtered");
  also(r.failed, "failed");
  also(r.dead_lettered, "dead-lettered");
  also(r.returned, "returned");
  if (const auto s = seconds(r.wall); r.delivered && s > 0) {
    std::snprintf(line, sizeof line, " (%.*f/s)", static_cast<double>(r.delivered) / s < 100 ? 1 : 0,
                  static_cast<double>(r.delivered) / s);
    out << line;
  }
  if (r.latency.samples)
    out << "; latency p50 " << duration_text(r.latency.p50) << ", p99 " << duration_text(r.latency.p99);
  out << '\n' << r.bottleneck_sentence() << '\n';
  for (const stage_report& s : r.stages)
    if (s.least_workers != s.most_workers) print_scaling(out, s);
  return out;
}

std::ostream& operator<<(std::ostream& out, const report& r) {
  print_numbers(out, r);
  for (const failure& f : r.failures) out << "failed: " << exception_text(f.error) << '\n';
  if (r.failures.size() < r.failed) out << "... and " << r.failed - r.failures.size() << " more failed\n";
  return out;
}

std::string to_json(const report& r) {
  std::ostringstream out;
  out.imbue(std::locale::classic());  // the program's own may group digits, or write a comma
  out.precision(6);
  out << R"({"outcome":)" << quoted(std::string(to_string(r.outcome))) << R"(,"wall_s":)" << seconds(r.wall)
      << R"(,"entered":)" << r.entered << R"(,"expanded":)" << r.expanded << R"(,"delivered":)" << r.delivered
      << R"(,"filtered":)" << r.filtered << R"(,"failed":)" << r.failed << R"(,"dead_lettered":)" << r.dead_lettered
      << R"(,"returned":)" << r.returned << R"(,"latency":)";
  json_quantiles(out, r.latency);
  const std::size_t slowest = r.bottleneck();
  out << R"(,"bottleneck":)" << (slowest == report::npos ? "null" : quoted(r.stages[slowest].name))
      << R"(,"bottleneck_sentence":)" << quoted(r.bottleneck_sentence()) << R"(,"stages":[)";
  const char* comma = "";
  for (const stage_report& s : r.stages) {
    out << comma << R"({"name":)" << quoted(s.name) << R"(,"workers":)" << s.workers << R"(,"in_flight":)"
        << s.in_flight << R"(,"in":)" << s.in << R"(,"passed":)" << s.passed << R"(,"filtered":)" << s.filtered
        << R"(,"failed":)" << s.failed << R"(,"dead_lettered":)" << s.dead_lettered << R"(,"returned":)" << s.returned
        << R"(,"out":)" << s.out << R"(,"retried":)" << s.retried << R"(,"busy":)" << s.busy << R"(,"starved":)"
        << s.starved << R"(,"blocked":)" << s.blocked << R"(,"paused":)" << s.paused << R"(,"thread":)" << s.thread
        << R"(,"processor":)" << s.processor << R"(,"crowded":)" << s.crowded << R"(,"least_workers":)"
        << s.least_workers << R"(,"most_workers":)" << s.most_workers << R"(,"scaling":[)";
    const char* between = "";
    for (const scaling_step& step : s.scaling) {
      out << between << R"({"at_s":)" << seconds(step.at) << R"(,"from":)" << step.from << R"(,"to":)" << step.to
          << R"(,"why":)" << quoted(std::string(to_string(step.why))) << '}';
      between = ",";
    }
    out << R"(],"waiting":)" << s.waiting << R"(,"peak_waiting":)" << s.peak_waiting << R"(,"capacity":)" << s.capacity
        << R"(,"service":)";
    json_quantiles(out, s.service);
    out << '}';
    comma = ",";
  }
  out << R"(],"failures":[)";
  comma = "";
  for (const failure& f : r.failures) {
    out << comma << R"({"stage":)" << quoted(f.place.stage) << R"(,"item":)" << f.place.number << R"(,"label":)"
        << quoted(f.place.label) << R"(,"attempt":)" << f.place.attempt << R"(,"reason":)" << quoted(f.reason) << '}';
    comma = ",";
  }
  out << R"(],"unfinished":[)";
  comma = "";
  for (const unfinished_item& u : r.unfinished) {
    out << comma << R"({"stage":)" << quoted(u.place.stage) << R"(,"item":)" << u.place.number << R"(,"label":)"
        << quoted(u.place.label) << '}';
    comma = ",";
  }
  out << "]}";
  return out.str();
}

}  // namespace penstock
