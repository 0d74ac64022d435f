"""What the browser does by itself while the console is not heard: the page says how old it is, and takes no click in silence.

The console writes into the mark in the header once a second what time it is. Where that stands still, whatever the reason (the process is
gone, or hangs; the line is cut; a new process does not know the sign-in), nothing on the page can be believed to be live, and nothing that
is pressed to be done.
"""

import json

SILENT_AFTER_S = 4.0
ALIVE = "/alive"
MARK = "cf-live"
"""Class of the mark in the header."""
_WORDS = {
    "silent": "No connection to the console for {age} s: what is shown is that old. It goes on by itself.",
    "refused": "“{what}” was not done: there is no connection to the console. An emergency stop goes by `counterflow emergency-stop`, too.",
    "doubt": "The connection was lost as “{what}” was pressed: whether it was done is not known. Look before you press it again.",
}
_SCRIPT = """<script>
(() => {
  const SILENT_AFTER_S = %(silent_after_s)s, ALIVE = %(alive)s, WORDS = %(words)s, BEAT_S = 1;
  const DOUBT = "counterflow-in-doubt", DOUBT_SHOWN_MS = 30000;
  const PRESSED = "button, a[href], [role=button], [role=option], [role=radio], [role=slider], [role=combobox], "
    + ".q-item--clickable, th[tabindex]";
  const root = document.documentElement, now = () => performance.now() / 1000;
  let beat = null, heard = now(), pressed = null, said = "", asking = false;
  const name = (found) => (found.innerText || found.getAttribute("aria-label") || "").trim().split("\\n")[0] || "This";
  const bar = document.createElement("div");
  bar.id = "cf-cut";
  bar.setAttribute("role", "alert");
  bar.hidden = true;
  const say = (words) => { bar.hidden = !words; if (bar.textContent !== words) bar.textContent = words; };
  const kept = () => JSON.parse(sessionStorage.getItem(DOUBT) || "null");
  const keep = (found) => sessionStorage.setItem(DOUBT, JSON.stringify(found));
  const doubt = () => {
    const found = kept();
    if (!found) return;
    if (!cut()) {
      found.until ??= Date.now() + DOUBT_SHOWN_MS;
      keep(found);
      setTimeout(forget, Math.max(0, found.until - Date.now()) + 50);
    }
    said = WORDS.doubt.replace("{what}", found.what);
    say(said);
  };
  const forget = () => {
    const found = kept();
    if (!found || !(found.until <= Date.now())) return;
    sessionStorage.removeItem(DOUBT);
    if (!cut()) { said = ""; say(""); }
  };
  const cut = () => root.classList.contains("cf-cut");
  const knock = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(ALIVE, {redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(5000)});
      if (answer.type === "opaqueredirect")
        location.assign("/sign-in?over=1&next=" + encodeURIComponent(location.pathname));
    } catch {} finally { asking = false; }
  };
  const look = () => {
    const mark = document.querySelector(".%(mark)s");
    if (!mark) return;
    if (mark.textContent !== beat) {
      beat = mark.textContent;
      heard = now();
      if (cut()) { root.classList.remove("cf-cut"); said = ""; say(""); doubt(); }
      return;
    }
    const age = now() - heard;
    if (age < SILENT_AFTER_S) return;
    if (!cut()) {
      root.classList.add("cf-cut");
      if (pressed && pressed.at > heard - BEAT_S) keep({what: pressed.what});
      said = "";
      doubt();
    }
    mark.dataset.age = age.toFixed(0);
    say([WORDS.silent.replace("{age}", age.toFixed(0)), said].filter(Boolean).join(" "));
    if (Math.round(age) %% 2 === 0) knock();
  };
  const press = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    const found = event.target.closest?.(PRESSED);
    if (!found) return;
    if (!cut()) { if (found.matches("button")) pressed = {at: now(), what: name(found)}; return; }
    event.preventDefault();
    event.stopImmediatePropagation();
    said = WORDS.refused.replace("{what}", name(found));
    look();
  };
  for (const type of ["click", "keydown", "submit"]) window.addEventListener(type, press, {capture: true});
  document.addEventListener("DOMContentLoaded", () => { document.body.append(bar); doubt(); setInterval(look, 500); });
})();
</script>"""
SCRIPT = _SCRIPT % {
    "silent_after_s": SILENT_AFTER_S,
    "alive": json.dumps(ALIVE),
    "words": json.dumps(_WORDS),
    "mark": MARK,
}
