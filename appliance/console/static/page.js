// What the pages share: moving between them without a reload, the state of the live stream, and a timer.

let navigate = () => {};

export function onNavigate(action) {
  navigate = action;
}

/** For a link's click: stay in the page, unless the reader wants a new tab. */
export function route(click) {
  if (click.defaultPrevented || click.button !== 0 || click.metaKey || click.ctrlKey || click.shiftKey || click.altKey) return;
  click.preventDefault();
  history.pushState(null, "", click.currentTarget.href);
  navigate();
}

export function showConnection(state) {
  const status = document.getElementById("connection");
  if (!status || status.dataset.state === state) return;
  status.dataset.state = state;
  status.textContent = { live: "Live", lost: "Connection lost, trying again" }[state] ?? "";
}

/** Runs `action` every so many milliseconds; returns what ends it. */
export function onEvery(ms, action) {
  const timer = setInterval(action, ms);
  return () => clearInterval(timer);
}

/** Says above the page what the collector itself has trouble with, as long as it has. */
export function watchHealth() {
  const notice = document.getElementById("health");
  const look = async () => {
    if (document.hidden) return;
    let problems = [];
    try {
      const state = await (await fetch("/healthz")).json();
      problems = state.problems ?? [];
    } catch {
      // That nothing answers is shown by the state of the connection.
    }
    const text = problems.map((problem) => `${problem.component}: ${problem.text}`).join(". ");
    if (notice.textContent === text) return;
    notice.textContent = text;
    notice.hidden = !text;
  };
  look();
  return onEvery(10_000, look);
}
