#include "apps/photos/image_exif.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::photos {
namespace {

using namespace std::string_view_literals;

enum tag : std::uint32_t {
  image_description = 0x010e,
  make = 0x010f,
  model = 0x0110,
  orientation = 0x0112,
  artist = 0x013b,
  copyright = 0x8298,
  exif_directory = 0x8769,
  date_original = 0x9003,
  offset_original = 0x9011,
  interoperability_directory = 0xa005,
  lens_model = 0xa434,
  interoperability_index = 0x0001,
};

// A description longer than this is no caption, and would travel with every photo of the list.
constexpr std::size_t longest_text = 2000;

struct entry {
  std::uint32_t type = 0;
  std::uint32_t count = 0;
  std::size_t value = 0;  // offset of the value field in the block
};

class tiff_block {
 public:
  explicit tiff_block(std::string_view block) : block_(block), big_(block.starts_with("MM\0*"sv)) {
    if (!big_ && !block.starts_with("II*\0"sv)) block_ = {};
  }

  // The first directory; 0 for none.
  [[nodiscard]] std::size_t directory() const { return number(4, 4); }

  [[nodiscard]] std::optional<entry> find(std::size_t directory, std::uint32_t wanted) const {
    if (directory == 0) return {};
    const std::uint32_t entries = number(directory, 2);
    for (std::uint32_t i = 0; i < entries; ++i) {
      const std::size_t at = directory + 2 + std::size_t{12} * i;
      if (at + 12 > block_.size()) return {};
      if (number(at, 2) == wanted) return entry{number(at + 2, 2), number(at + 4, 4), at + 8};
    }
    return {};
  }

  [[nodiscard]] std::uint32_t integer(const std::optional<entry>& e) const {
    if (!e || e->count == 0) return 0;
    return e->type == 3 ? number(e->value, 2) : e->type == 4 ? number(e->value, 4) : 0;
  }

  // The bytes of an ASCII tag, up to the first NUL.
  [[nodiscard]] std::string_view text(const std::optional<entry>& e) const {
    if (!e || (e->type != 2 && e->type != 129)) return {};
    const std::size_t at = e->count <= 4 ? e->value : number(e->value, 4);
    if (at >= block_.size()) return {};
    const std::string_view all = block_.substr(at, std::min<std::size_t>(e->count, longest_text));
    return all.substr(0, all.find('\0'));
  }

 private:
  // Out of bounds reads as 0: no directory, no entries, no value.
  [[nodiscard]] std::uint32_t number(std::size_t offset, std::size_t size) const {
    if (offset > block_.size() || block_.size() - offset < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto byte = static_cast<unsigned char>(block_[offset + (big_ ? i : size - 1 - i)]);
      value = (value << 8U) | byte;
    }
    return value;
  }

  std::string_view block_;
  bool big_;
};

// Length of the UTF-8 sequence at the start of `text`, 0 if there is no valid one.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xc2 && lead <= 0xdf   ? 2
                           : lead >= 0xe0 && lead <= 0xef ? 3
                           : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                          : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies beyond the last code point.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f)) return 0;
  if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
  return size;
}

// EXIF says ASCII; cameras and programs write UTF-8 and Latin-1. A byte that is no UTF-8 is taken for Latin-1; control
// characters become spaces; the padding that cameras write around names goes.
std::string tidy(std::string_view raw) {
  std::string out;
  while (!raw.empty()) {
    const std::size_t size = utf8_sequence(raw);
    const auto byte = static_cast<unsigned char>(raw.front());
    if (size == 0) {
      out += static_cast<char>(0xc0U | byte >> 6U);
      out += static_cast<char>(0x80U | (byte & 0x3fU));
    } else if (size == 1) {
      out += byte < 0x20 || byte == 0x7f ? ' ' : raw.front();
    } else {
      out += raw.substr(0, size);
    }
    raw.remove_prefix(std::max<std::size_t>(size, 1));
  }
  const auto first = out.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return out.substr(first, out.find_last_not_of(' ') - first + 1);
}

// "2024:05:17 08:09:10" and perhaps "+02:00" → "2024-05-17T08:09:10+02:00". Anything else is no date: cameras write
// "0000:00:00 00:00:00" and blanks when their clock was never set.
std::string iso_date(std::string_view date, std::string_view offset) {
  constexpr std::string_view shape = "dddd:dd:dd dd:dd:dd";
  constexpr std::string_view offset_shape = "+dd:dd";
  const auto fits = [](std::string_view text, std::string_view wanted) {
    return std::ranges::equal(text, wanted, [](char c, char w) {
      return w == 'd' ? c >= '0' && c <= '9' : w == '+' ? c == '+' || c == '-' : c == w;
    });
  };
  if (!fits(date, shape) || date.starts_with("0000") || date.substr(5, 2) == "00") return {};
  std::string out(date);
  out[4] = out[7] = '-';
  out[10] = 'T';
  if (fits(offset, offset_shape)) out += offset;
  return out;
}

// "Canon" and "Canon EOS 5D" → "Canon EOS 5D"; "Xiaomi" and "Mi A3" → "Xiaomi Mi A3".
std::string camera_name(const std::string& maker, const std::string& name) {
  if (maker.empty() || name.starts_with(maker)) return name;
  return name.empty() ? maker : maker + " " + name;
}

}  // namespace

exif_facts read_exif(std::span<const std::byte> block) {
  std::string bytes(block.size(), '\0');
  std::ranges::transform(block, bytes.begin(), [](std::byte b) { return static_cast<char>(b); });
  std::string_view view = bytes;
  if (view.starts_with("Exif\0\0"sv)) view.remove_prefix(6);

  const tiff_block tiff(view);
  const std::size_t first = tiff.directory();
  const std::size_t exif = tiff.integer(tiff.find(first, exif_directory));
  const std::size_t interoperability = tiff.integer(tiff.find(exif, interoperability_directory));

  exif_facts facts;
  const std::uint32_t turned = tiff.integer(tiff.find(first, orientation));
  if (turned >= 1 && turned <= 8) facts.orientation = static_cast<int>(turned);
  facts.adobe_rgb = tiff.text(tiff.find(interoperability, interoperability_index)) == "R03";

  const auto keep = [&](const char* name, std::string value) {
    if (!value.empty()) facts.fields.emplace(name, std::move(value));
  };
  keep("copyright", tidy(tiff.text(tiff.find(first, copyright))));
  keep("artist", tidy(tiff.text(tiff.find(first, artist))));
  keep("description", tidy(tiff.text(tiff.find(first, image_description))));
  keep("camera", camera_name(tidy(tiff.text(tiff.find(first, make))), tidy(tiff.text(tiff.find(first, model)))));
  keep("lens", tidy(tiff.text(tiff.find(exif, lens_model))));
  keep("date", iso_date(tiff.text(tiff.find(exif, date_original)), tiff.text(tiff.find(exif, offset_original))));
  return facts;
}

}  // namespace penstock::photos
