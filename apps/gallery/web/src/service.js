// service: the server's JSON interface. Every call throws service_error, whose message is meant for the reader.

export class service_error extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0 when there was no answer
  }
}

async function get_json(address) {
  let answer;
  try {
    answer = await fetch(address, { headers: { accept: "application/json" } });
  } catch {
    throw new service_error("The server does not answer. It may be switched off, or the network may be down.", 0);
  }
  if (answer.status === 401) throw new service_error("You are not signed in any more. Please load the page again.", 401);
  let body;
  try {
    body = await answer.json();
  } catch {
    throw new service_error(`The server's answer (${answer.status}) cannot be read.`, answer.status);
  }
  if (!answer.ok) throw new service_error(body.error ?? `The server answered ${answer.status}.`, answer.status);
  return body;
}

// before: undefined for the newest page.
export function photo_page(limit, before) {
  const query = new URLSearchParams({ limit });
  if (before !== undefined) query.set("before", before);
  return get_json(`/api/photos?${query}`);
}

export function one_photo(id) {
  return get_json(`/api/photos/${id}`);
}
