#include "apps/photos/image_tiff.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <unistd.h>

#include "apps/photos/image.hpp"

namespace penstock::photos {
namespace {

enum tag : std::uint32_t {
  new_subfile_type = 254,
  subfile_type = 255,
  width = 256,
  height = 257,
  bits_per_sample = 258,
  compression = 259,
  photometric = 262,
  strip_offsets = 273,
  orientation = 274,
  tile_offsets = 324,
  sub_directories = 330,
  sample_format = 339,
  cfa_repeat_pattern = 33421,
  cfa_pattern = 33422,
  leaf_data = 34310,
  dng_version = 50706,
};

// Values of `photometric`.
constexpr std::uint64_t white_is_zero = 0, black_is_zero = 1, rgb = 2, mask = 4, separated = 5;
constexpr std::uint64_t colour_filter_array = 32803, linear_raw = 34892;

// Values of `compression` that only cameras write: Sony ARW, Epson, Samsung SRW, Nikon NEF, Kodak, Pentax PEF.
constexpr std::array<std::uint64_t, 6> raw_compressions{32767, 32769, 32770, 34713, 65000, 65535};

// Limits against files that are made to keep a reader busy; far above what real files have.
constexpr std::uint64_t most_entries = 65535;
constexpr std::size_t most_directories = 20'000;
constexpr std::size_t most_entries_of_all = 1'000'000;
constexpr std::size_t most_below = 256;
constexpr unsigned deepest = 4;

[[noreturn]] void damaged(const std::string& what) { throw bad_photo("damaged or cut short: " + what); }

// One directory, as far as it matters here; 0 is absent unless it says otherwise.
struct directory {
  std::uint64_t subfile = 0, old_subfile = 0, width = 0, height = 0, bits = 1, compression = 1, format = 1,
                orientation = 0;
  std::optional<std::uint64_t> photometric;
  bool has_pixels = false;
  bool is_raw = false;
  std::vector<std::uint64_t> below;  // offsets of SubIFDs
  std::uint64_t next = 0;
  std::size_t entries = 0;

  [[nodiscard]] bool reduced() const { return (subfile & 1U) != 0 || old_subfile == 2; }
  [[nodiscard]] bool is_mask() const { return (subfile & 4U) != 0 || photometric == mask; }
  [[nodiscard]] bool is_picture() const { return width > 0 && height > 0 && has_pixels && !is_mask(); }
};

class tiff_reader {
 public:
  explicit tiff_reader(const random_reader& file) : file_(file) {
    std::array<std::byte, 16> head{};
    const std::size_t got = file_(0, head);
    if (got < 8) damaged("the TIFF header is incomplete");
    large_first_ = head[0] == std::byte{'M'};
    head_ = {head.begin(), head.end()};
    big_ = number(head_, 2, 2) == 43;
    if (big_ && (got < 16 || number(head_, 4, 2) != 8)) damaged("the BigTIFF header is incomplete");
  }

  [[nodiscard]] std::uint64_t first() const { return big_ ? number(head_, 8, 8) : number(head_, 4, 4); }

  // Marks of RAW files whose directories may look like those of any TIFF file: Canon CR2, Phase One IIQ.
  [[nodiscard]] bool has_raw_header() const {
    std::string text;
    for (const std::byte b : std::span(head_).subspan(8, 4)) text += static_cast<char>(b);
    return !big_ && (text.starts_with("CR\x02") || text == "IIII" || text == "MMMM");
  }

  [[nodiscard]] directory read(std::uint64_t offset) const {
    const std::size_t count_bytes = big_ ? 8 : 2, entry_bytes = big_ ? 20 : 12, offset_bytes = big_ ? 8 : 4;
    const auto count = number(bytes(offset, count_bytes), 0, count_bytes);
    if (count > most_entries) damaged("a directory of the TIFF file is not one");
    const auto entries = bytes(offset + count_bytes, static_cast<std::size_t>(count) * entry_bytes);
    directory out;
    out.entries = static_cast<std::size_t>(count);
    for (std::size_t at = 0; at < entries.size(); at += entry_bytes) take(entries, at, out);
    // The offset of the next one may be missing at the very end of the file: then there is none.
    std::vector<std::byte> next(offset_bytes);
    if (file_(offset + count_bytes + entries.size(), next) == offset_bytes) out.next = number(next, 0, offset_bytes);
    return out;
  }

 private:
  [[nodiscard]] std::uint64_t number(std::span<const std::byte> from, std::size_t at, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value = value << 8U | std::to_integer<std::uint64_t>(from[at + (large_first_ ? i : size - 1 - i)]);
    return value;
  }

  [[nodiscard]] std::vector<std::byte> bytes(std::uint64_t offset, std::size_t size) const {
    std::vector<std::byte> out(size);
    if (file_(offset, out) != size) damaged("a part of the TIFF file lies beyond its end");
    return out;
  }

  // The whole numbers of an entry, `most` at most.
  [[nodiscard]] std::vector<std::uint64_t> values(const std::vector<std::byte>& entries, std::size_t at,
                                                  std::size_t most) const {
    const auto type = number(entries, at + 2, 2);
    const std::size_t size = type == 1 || type == 6                   ? 1
                             : type == 3 || type == 8                 ? 2
                             : type == 4 || type == 9 || type == 13   ? 4
                             : type == 16 || type == 17 || type == 18 ? 8
                                                                      : 0;
    if (size == 0) return {};
    const std::size_t field = big_ ? 8 : 4, start = at + 4 + field;
    const auto all = number(entries, at + 4, field);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(all, most));
    std::vector<std::byte> elsewhere;
    std::span<const std::byte> from = std::span(entries).subspan(start, field);
    if (all > field / size) from = elsewhere = bytes(number(entries, start, field), count * size);
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(number(from, i * size, size));
    return out;
  }

  void take(const std::vector<std::byte>& entries, std::size_t at, directory& out) const {
    const auto first_value = [&](std::uint64_t absent) {
      const auto all = values(entries, at, 1);
      return all.empty() ? absent : all.front();
    };
    switch (number(entries, at, 2)) {
      case new_subfile_type:
        out.subfile = first_value(0);
        break;
      case subfile_type:
        out.old_subfile = first_value(0);
        break;
      case width:
        out.width = first_value(0);
        break;
      case height:
        out.height = first_value(0);
        break;
      case bits_per_sample:
        out.bits = first_value(1);
        break;
      case compression:
        out.compression = first_value(1);
        if (std::ranges::find(raw_compressions, out.compression) != raw_compressions.end()) out.is_raw = true;
        break;
      case photometric:
        out.photometric = first_value(black_is_zero);
        if (out.photometric == colour_filter_array || out.photometric == linear_raw) out.is_raw = true;
        break;
      case strip_offsets:
      case tile_offsets:
        out.has_pixels = true;
        break;
      case orientation:
        out.orientation = first_value(0);
        break;
      case sub_directories:
        if (out.below.empty()) out.below = values(entries, at, most_below);
        break;
      case sample_format:
        out.format = first_value(1);
        break;
      case cfa_repeat_pattern:
      case cfa_pattern:
      case leaf_data:
      case dng_version:
        out.is_raw = true;
        break;
      default:
        break;
    }
  }

  const random_reader& file_;
  std::vector<std::byte> head_;
  bool large_first_ = false;
  bool big_ = false;
};

struct candidate {
  directory about;
  int page;
  int subifd;
  bool reachable;  // by a decoder: the chain, and what stands directly below it
  std::uint64_t inherited_orientation;

  [[nodiscard]] long double pixels() const {
    return static_cast<long double>(about.width) * static_cast<long double>(about.height);
  }
};

// Every directory of the file, in the order of the chain, each followed by those below it.
class survey {
 public:
  explicit survey(const random_reader& file) : reader_(file), raw_(reader_.has_raw_header()) {
    int page = 0;
    for (std::uint64_t at = reader_.first(); is_new(at); ++page) {
      directory here = reader_.read(at);
      at = here.next;
      add({std::move(here), page, -1, true, 0}, 0);
    }
  }
  [[nodiscard]] bool is_raw() const { return raw_; }
  [[nodiscard]] bool has_reduced() const { return has_reduced_; }
  [[nodiscard]] const std::vector<candidate>& full() const { return full_; }

 private:
  // A directory that was seen before is a loop.
  bool is_new(std::uint64_t at) { return at != 0 && seen_.size() < most_directories && seen_.insert(at).second; }

  void add(candidate found, unsigned depth) {
    entries_ += found.about.entries;
    if (entries_ > most_entries_of_all) damaged("its directories have no end");
    raw_ = raw_ || found.about.is_raw;
    has_reduced_ = has_reduced_ || found.about.reduced();
    const std::vector<std::uint64_t> below = found.about.below;
    const int page = found.page;
    const auto turned = found.about.orientation ? found.about.orientation : found.inherited_orientation;
    if (found.about.is_picture() && !found.about.reduced()) full_.push_back(std::move(found));
    if (depth == deepest) return;
    for (std::size_t i = 0; i < below.size(); ++i) {
      bool first = true;  // a directory below may have a chain of its own
      for (std::uint64_t at = below[i]; is_new(at); first = false) {
        directory here = reader_.read(at);
        at = here.next;
        add({std::move(here), page, static_cast<int>(i), depth == 0 && first, turned}, depth + 1);
      }
    }
  }

  const tiff_reader reader_;
  bool raw_;
  bool has_reduced_ = false;
  std::size_t entries_ = 0;
  std::vector<candidate> full_;
  std::set<std::uint64_t> seen_;
};

number_format format_of(std::uint64_t value) {
  return value == 2 || value == 5   ? number_format::signed_integer
         : value == 3 || value == 6 ? number_format::floating
                                    : number_format::unsigned_integer;
}

}  // namespace

random_reader reader_of(std::span<const std::byte> bytes) {
  return [bytes](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= bytes.size()) return 0;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size() - offset, into.size()));
    std::ranges::copy(bytes.subspan(static_cast<std::size_t>(offset), size), into.begin());
    return size;
  };
}

random_reader reader_of(int file) {
  return [file](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset > static_cast<std::uint64_t>(INT64_MAX) - into.size()) return 0;
    std::size_t size = 0;
    while (size < into.size()) {
      const ssize_t got = ::pread(file, into.data() + size, into.size() - size, static_cast<off_t>(offset + size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw std::system_error(errno, std::generic_category());
      if (got == 0) break;
      size += static_cast<std::size_t>(got);
    }
    return size;
  };
}

tiff_picture choose_tiff_picture(const random_reader& file) {
  const survey all(file);
  if (all.is_raw() || (all.full().empty() && all.has_reduced())) throw not_a_photo(std::string(raw_reason));
  if (all.full().empty()) damaged("there is no picture in this TIFF file");

  const long double largest = std::ranges::max(all.full(), {}, &candidate::pixels).pixels();
  const candidate& best =
      *std::ranges::find_if(all.full(), [&](const candidate& c) { return 2 * c.pixels() >= largest; });
  if (!best.reachable) throw bad_photo("its full-size picture is where the decoder cannot reach it: export a JPEG");

  tiff_picture out{.page = best.page, .subifd = best.subifd};
  const auto turned = best.about.orientation ? best.about.orientation : best.inherited_orientation;
  if (turned >= 1 && turned <= 8) out.orientation = static_cast<int>(turned);
  out.bits = static_cast<unsigned>(std::min<std::uint64_t>(best.about.bits, 1024));
  out.format = format_of(best.about.format);
  const auto colours = best.about.photometric.value_or(black_is_zero);
  out.plain = colours == white_is_zero || colours == black_is_zero || colours == rgb || colours == separated;

  out.white_is_zero = colours == white_is_zero;

  constexpr std::array<unsigned, 6> integers{1, 2, 4, 8, 16, 32};
  const bool known =
      out.format == number_format::floating ? out.bits == 32 : std::ranges::find(integers, out.bits) != integers.end();
  if (out.plain && !known)
    throw bad_photo("TIFF files with " + std::to_string(out.bits) + "-bit " +
                    (out.format == number_format::floating ? "floating-point " : "") +
                    "numbers are not supported: convert it to 16 bits");
  return out;
}

}  // namespace penstock::photos
