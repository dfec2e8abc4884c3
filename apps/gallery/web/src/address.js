// address: the part of the page's address that names a photo, `#photo=<id>`.

const pattern = /^#photo=([0-9a-f]{64})$/;

// Returns the id of the photo the fragment names, null when it names none, and "" when it tries to but is not an id.
export function photo_named(fragment) {
  if (!fragment.startsWith("#photo=")) return null;
  const match = pattern.exec(fragment.toLowerCase());
  return match ? match[1] : "";
}

export function fragment_of(id) {
  return `#photo=${id}`;
}
