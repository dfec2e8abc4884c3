// sign_in: exchanges the gallery's token for a session cookie, then opens what the address names.
//
// The token travels in the Authorization header of one request: no address, history entry, referrer or log of addresses has it. No script
// can read the cookie, and other sites' pages cannot make the browser send it (HttpOnly, SameSite=Strict).

const part = (id) => document.getElementById(id);

function ask(method, headers = {}) {
  return fetch("/api/session", { method, headers });
}

// Not a reload: when a link on another site led here, a browser repeats that request without the cookie.
function enter() {
  location.replace(`/?signed-in${location.hash}`);
}

// After such a link this page is shown although the browser has a session.
async function enter_with_session() {
  const answer = await ask("GET").catch(() => null);
  if (answer?.ok) enter();
}

function fail(words) {
  part("failure").hidden = false;
  part("failure").textContent = words;
  part("token").setAttribute("aria-invalid", "true");
  part("token").focus();
}

part("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = part("token").value.trim();
  if (/[^\x21-\x7e]/.test(token)) return fail("A token has no spaces and only plain letters, digits and marks.");
  part("submit").disabled = true;
  try {
    const answer = await ask("POST", { authorization: `Bearer ${token}` });
    if (answer.ok) enter();
    else if (answer.status === 401) fail("This is not the gallery's token.");
    else fail(`The server answered ${answer.status}. Please try again later.`);
  } catch {
    fail("The server does not answer. It may be switched off, or the network may be down.");
  } finally {
    part("submit").disabled = false;
  }
});

enter_with_session();
