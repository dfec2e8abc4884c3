// left_out: files and folders that are never published because of their name, and why.
//
//   if (auto reason = reason_to_leave_out_folder("#recycle")) skip(*reason);     // "trash folder (#recycle)"
//
// Photos that were deleted lie in the trash folders of a NAS, thumbnails of every photo in its index folders, older
// states in its snapshots: publishing them would show what its owner deleted, and show every photo several times. The
// names are compared without regard to the case of ASCII letters, because the systems that make them do so. A name that
// people give to their own folders ("Trash", "Thumbnails") is not among them.
//
// THREADS  Any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock::photos {

struct left_out {
  std::string reason;
  bool list = false;  // its owner may have meant it to be published: name it in the report
};

[[nodiscard]] std::optional<left_out> reason_to_leave_out_folder(std::string_view name);
[[nodiscard]] std::optional<left_out> reason_to_leave_out_file(std::string_view name);

// True iff a file with this name claims to be a photo, a camera's RAW file included.
[[nodiscard]] bool is_named_like_a_photo(std::string_view name);

}  // namespace penstock::photos
