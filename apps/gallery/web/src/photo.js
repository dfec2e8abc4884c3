// photo: what the page shows of one photo of the JSON interface.

// The words for those who do not see it: the owner's if there are any, or its number.
export function words_for(photo) {
  const fields = photo.fields ?? {};
  return fields.description || fields.caption || fields.title || `Photo ${photo.sequence}`;
}

export function aspect_of(photo) {
  return photo.width > 0 && photo.height > 0 ? photo.width / photo.height : 1;
}

export function srcset_of(photo) {
  return photo.renditions.map((r) => `${r.url} ${r.width}w`).join(", ");
}

// Returns the smallest rendition at least `pixels` wide, or else the largest.
// REQUIRES: renditions are sorted, the largest first, as the server sends them.
export function rendition_for(photo, pixels) {
  let best = photo.renditions[0];
  for (const r of photo.renditions) if (r.width >= pixels) best = r;
  return best;
}
