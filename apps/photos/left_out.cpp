#include "apps/photos/left_out.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace penstock::photos {
namespace {

using names = std::span<const std::string_view>;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

// Without the dot, in lower case; empty for none.
std::string extension_of(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string() : lower(name.substr(dot + 1));
}

bool one_of(std::string_view wanted, names list) { return std::ranges::find(list, wanted) != list.end(); }

// --- folders, by their whole name in lower case ---

constexpr std::array<std::string_view, 14> trash{
    "#recycle",              // Synology, Asustor, TerraMaster
    "@recycle",              // QNAP
    "@sharebin",             // Synology Drive
    "$recycle.bin",          // Windows
    "recycler",              // Windows XP
    "recycled",              // Windows 9x, on FAT
    "recycle bin",           // Netgear, Western Digital
    "trashbox",              // Buffalo
    "network trash folder",  // Apple file sharing
    "files_trashbin",        // Nextcloud, ownCloud
    ".trash",                // macOS, Android, KDE
    ".trashes",              // macOS
    ".recycle",              // Samba
    ".dtrash",               // digiKam
};
constexpr std::array<std::string_view, 5> thumbnails{
    "@eadir",        // Synology
    "@__thumb",      // QNAP
    ".@__thumb",     // QNAP
    "_thumbnails_",  // Western Digital
    ".thumbnails",   // Android, freedesktop.org
};
constexpr std::array<std::string_view, 9> older_states{
    "#snapshot",           // Synology
    "@recently-snapshot",  // QNAP
    "@snapshot",           // QNAP
    "~snapshot",           // NetApp
    ".snapshot",           // NetApp
    ".snapshots",          // snapper
    ".zfs",                // ZFS
    "files_versions",      // Nextcloud, ownCloud
    ".stversions",         // Syncthing
};
constexpr std::array<std::string_view, 9> of_the_system{
    "lost+found",                 // fsck
    "system volume information",  // Windows
    "temporary items",            // Apple file sharing
    "__macosx",                   // AppleDouble files of a zip archive
    "@tmp",                       // Synology
    "@synodrive",                 // Synology Drive
    "@synologydrive",             // Synology Drive
    "#sync",                      // Synology
    "_gsdata_",                   // GoodSync
};
// Programs' own stores: originals under names that mean nothing beside previews of each. By extension.
constexpr std::array<std::string_view, 8> libraries{
    "photoslibrary", "photolibrary", "aplibrary",  "migratedphotolibrary",  // Apple
    "lrdata",        "lrlibrary",    "lrcat-data",                          // Lightroom
    "cocatalog",                                                            // Capture One
};

// "found.000", in which Windows puts what its file system check finds.
bool is_found_fragments(std::string_view name) {
  return name.size() == 9 && name.starts_with("found.") &&
         std::ranges::all_of(name.substr(6), [](char c) { return c >= '0' && c <= '9'; });
}

// --- files, by their extension in lower case ---

constexpr std::array<std::string_view, 14> unfinished{
    "tmp",        "temp",                                  //
    "part",       "partial",  "crdownload", "download",    // browsers
    "opdownload", "filepart", "aria2",      "!ut",         // Opera, WinSCP, aria2, uTorrent
    "!qb",        "!sync",    "bts",        "ocdownload",  // qBittorrent, Resilio, Nextcloud
};
constexpr std::array<std::string_view, 10> sidecars{"xmp", "json", "aae", "pp3", "dop",
                                                    "thm", "xml",  "ini", "db",  "txt"};
constexpr std::array<std::string_view, 13> videos{"mp4",  "mov", "m4v",  "avi", "mkv", "webm", "mts",
                                                  "m2ts", "mpg", "mpeg", "3gp", "wmv", "lrv"};
constexpr std::array<std::string_view, 17> photos{"jpg",  "jpeg", "jpe",  "jfif", "png", "webp", "heic", "heif", "hif",
                                                  "avif", "tif",  "tiff", "gif",  "bmp", "jxl",  "jp2",  "mpo"};
constexpr std::array<std::string_view, 27> raws{"3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff",
                                                "gpr", "iiq", "kdc", "mef", "mos", "mrw", "nef", "nrw", "orf",
                                                "pef", "ptx", "raf", "raw", "rw2", "rwl", "sr2", "srw", "x3f"};

left_out because(std::string_view reason, std::string_view name, bool list) {
  return {std::string(reason) + " (" + std::string(name) + ')', list};
}

}  // namespace

std::optional<left_out> reason_to_leave_out_folder(std::string_view given) {
  const std::string name = lower(given);
  if (one_of(name, trash)) return because("trash folder", name, false);
  // D-Link, one for each volume.
  if (name.starts_with("recycle bin - ")) return because("trash folder", "recycle bin", false);
  // freedesktop.org, one for each user.
  if (name.starts_with(".trash-")) return because("trash folder", ".trash-*", false);
  if (one_of(name, thumbnails)) return because("thumbnail folder", name, false);
  if (one_of(name, older_states)) return because("folder of older states", name, false);
  if (one_of(name, of_the_system)) return because("system folder", name, false);
  if (is_found_fragments(name)) return because("system folder", "found.nnn", false);
  if (one_of(extension_of(name), libraries))
    return left_out{"photo library of another program: export the photos, or name the folder", true};
  if (name.starts_with('.')) return left_out{"hidden folder", false};
  return {};
}

std::optional<left_out> reason_to_leave_out_file(std::string_view name) {
  if (name.starts_with('.')) return left_out{"hidden file", false};
  const std::string extension = extension_of(name);
  // macOS writes a file that it replaces as "IMG_1.jpg.sb-1a2b3c4d-Xy12Z0" first.
  if (one_of(extension, unfinished) || extension.starts_with("sb-"))
    return left_out{"unfinished download or copy", false};
  if (one_of(extension, sidecars)) return left_out{"sidecar", false};
  if (one_of(extension, videos)) return left_out{"video", false};
  return {};
}

bool is_named_like_a_photo(std::string_view name) {
  const std::string extension = extension_of(name);
  return one_of(extension, photos) || one_of(extension, raws);
}

}  // namespace penstock::photos
