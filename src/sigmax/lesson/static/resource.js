// Files beside this one; those of a page that holds everything are in the page.

const bundled = globalThis.LESSON_FILES ?? {};

async function response(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer;
}

export async function bytes(name) {
  if (!(name in bundled)) return (await response(name)).arrayBuffer();
  return Uint8Array.from(atob(bundled[name]), (character) => character.charCodeAt(0)).buffer;
}

export const text = async (name) => bundled[name] ?? (await response(name)).text();
