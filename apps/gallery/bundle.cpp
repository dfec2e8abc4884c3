#include "apps/gallery/bundle.hpp"

#include <algorithm>
#include <cassert>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace penstock::gallery {
namespace {

using nlohmann::json;

// The parser keeps the last of two equal keys in silence, and builds whatever depth it is sent: both are refused here.
json parse_strictly(const std::string& line) {
  std::vector<std::set<std::string>> keys;
  const auto look = [&keys](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 4) throw invalid_photo("the bundle's JSON line is nested too deeply");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw invalid_photo("the bundle's JSON line has the same key twice");
    return true;
  };
  try {
    return json::parse(line, look);
  } catch (const json::exception&) {
    throw invalid_photo("the bundle must begin with one line of JSON in UTF-8");
  }
}

const json& member(const json& object, const char* name, json::value_t type) {
  const auto found = object.find(name);
  if (found == object.end() || found->type() != type)
    throw invalid_photo(std::string("the bundle's JSON line lacks \"") + name + "\", or it is of the wrong kind");
  return *found;
}

void expect_members(const json& object, std::size_t count) {
  if (object.size() != count) throw invalid_photo("the bundle's JSON line has a member that does not belong there");
}

int side(const json& object, const char* name) {
  const auto value = member(object, name, json::value_t::number_unsigned).get<std::uint64_t>();
  return static_cast<int>(std::min<std::uint64_t>(value, max_side + 1));  // check_shape() refuses what is too large
}

}  // namespace

std::string encode_bundle_head(const photo& item) {
  nlohmann::ordered_json head;
  head["renditions"] = json::array();
  for (const auto& r : item.renditions)
    head["renditions"].push_back(
        {{"width", r.width}, {"height", r.height}, {"type", r.media_type}, {"bytes", r.bytes.size()}});
  head["fields"] = item.fields.empty() ? json::object() : json(item.fields);
  std::string line = head.dump() + '\n';
  assert(line.size() <= max_head_bytes);
  return line;
}

std::string encode_bundle(const photo& item) {
  std::string body = encode_bundle_head(item);
  for (const auto& r : item.renditions) body.append(reinterpret_cast<const char*>(r.bytes.data()), r.bytes.size());
  return body;
}

bundle_decoder::bundle_decoder(std::string id, std::uint64_t total_bytes) : left_(total_bytes) {
  check_id(id);
  item_.id = std::move(id);
}

void bundle_decoder::feed(std::span<const std::byte> piece) {
  if (piece.size() > left_) throw invalid_photo("the bundle is longer than it was said to be");
  left_ -= piece.size();
  if (!head_done_) {
    const auto* const feed_end = piece.data() + piece.size();
    const auto* const line_end = std::find(piece.data(), feed_end, std::byte{'\n'});
    const auto taken = static_cast<std::size_t>(line_end - piece.data());
    if (head_.size() + taken >= max_head_bytes)
      throw invalid_photo("the bundle's JSON line is longer than " + std::to_string(max_head_bytes) + " bytes");
    head_.append(reinterpret_cast<const char*>(piece.data()), taken);
    if (line_end == feed_end) return;
    piece = piece.subspan(taken + 1);
    left_ += piece.size();  // so that read_head() compares with all that follows the line
    read_head();
    left_ -= piece.size();
    head_done_ = true;
  }
  while (!piece.empty()) {
    // read_head() made sure that the sizes add up to what comes, so there is a rendition for every byte.
    auto& bytes = item_.renditions[at_].bytes;
    const std::size_t taken = std::min(piece.size(), sizes_[at_] - bytes.size());
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(taken));
    piece = piece.subspan(taken);
    if (bytes.size() == sizes_[at_]) ++at_;
  }
}

void bundle_decoder::read_head() {
  const json head = parse_strictly(head_);
  head_ = {};
  if (!head.is_object()) throw invalid_photo("the bundle's JSON line must be an object");
  expect_members(head, 2);
  const json& renditions = member(head, "renditions", json::value_t::array);
  if (renditions.empty() || renditions.size() > max_renditions)
    throw invalid_photo("a photo has 1 to " + std::to_string(max_renditions) + " renditions");
  std::uint64_t unclaimed = left_;
  int width_before = 0;
  for (const json& described : renditions) {
    if (!described.is_object()) throw invalid_photo("a rendition in the bundle's JSON line must be an object");
    expect_members(described, 4);
    rendition r;
    r.width = side(described, "width");
    r.height = side(described, "height");
    r.media_type = member(described, "type", json::value_t::string).get<std::string>();
    const auto bytes = member(described, "bytes", json::value_t::number_unsigned).get<std::uint64_t>();
    check_shape(r, width_before);
    if (bytes == 0 || bytes > unclaimed)
      throw invalid_photo("the sizes of the renditions do not add up to what follows the bundle's JSON line");
    unclaimed -= bytes;
    width_before = r.width;
    sizes_.push_back(bytes);
    item_.renditions.push_back(std::move(r));
  }
  if (unclaimed != 0)
    throw invalid_photo("the sizes of the renditions do not add up to what follows the bundle's JSON line");
  const json& fields = member(head, "fields", json::value_t::object);
  for (const auto& [name, value] : fields.items()) {
    if (!value.is_string()) throw invalid_photo("a field's value must be a string");
    item_.fields[name] = value.get<std::string>();
  }
  check_fields(item_.fields);
  // Only now: the sizes add up to a body whose length the receiver has agreed to.
  for (std::size_t i = 0; i < sizes_.size(); ++i) item_.renditions[i].bytes.reserve(sizes_[i]);
}

photo bundle_decoder::finish() {
  if (left_ != 0 || !head_done_) throw invalid_photo("the bundle is shorter than it was said to be");
  check(item_);
  return std::move(item_);
}

}  // namespace penstock::gallery
