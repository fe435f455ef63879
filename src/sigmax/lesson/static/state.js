// The situation in the address: #chapter?lang=en&figure.control=value. Only what differs from the start is written.

let place = { chapter: "", parameters: new URLSearchParams() };
let timer = 0;

export function readAddress() {
  const [chapter, query = ""] = location.hash.slice(1).split("?");
  place = { chapter, parameters: new URLSearchParams(query) };
  return chapter;
}

export const parameter = (name) => place.parameters.get(name);

// Browsers limit how often the address may change, so it waits until the hand rests.
export function setParameter(name, value) {
  if (value === null) place.parameters.delete(name);
  else place.parameters.set(name, value);
  clearTimeout(timer);
  timer = setTimeout(writeAddress, 150);
}

export const address = (chapter, parameters = {}) => {
  const query = String(new URLSearchParams(parameters));
  return `#${chapter}${query ? `?${query}` : ""}`;
};

function writeAddress() {
  history.replaceState(null, "", `#${place.chapter}${place.parameters.size ? `?${place.parameters}` : ""}`);
}
