// What this machine remembers of the learner: votes, guesses, answers, theme, language. Nothing leaves it.

const KEY = "sigmax lesson";
const listeners = new Set();
let kept = {};
try {
  kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
} catch {
  // Without storage the page remembers until it is left.
}

function write() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // As above.
  }
  for (const listener of listeners) listener();
}

export const remembered = (group, name) => kept[group]?.[name];
export const all = (group) => kept[group] ?? {};

export function remember(group, name, value) {
  kept = { ...kept, [group]: { ...kept[group], [name]: value } };
  write();
}

// Votes, guesses and answers; not what the page looks like.
export function startAgain() {
  kept = { page: kept.page };
  write();
}

// `listener` runs after every change.
export const watch = (listener) => listeners.add(listener);
