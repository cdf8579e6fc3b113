// The page follows the operator: it is fetched again every two seconds, and its main part is replaced where it differs.

const EVERY_MILLISECONDS = 2000;
const connection = document.getElementById("connection");

function show(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

async function refresh() {
  const shown = document.getElementById("pools");
  try {
    const answer = await fetch("/", { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const wanted = next.getElementById("pools");
    // A user in the middle of a table keeps it.
    if (wanted.textContent !== shown.textContent && !shown.contains(document.activeElement)) shown.replaceWith(document.adoptNode(wanted));
    document.title = next.title;
    show("Live: this page follows the operator every 2 s.");
  } catch {
    show("The operator does not answer: these figures are old. Trying again.");
  }
  setTimeout(refresh, EVERY_MILLISECONDS);
}

refresh();
