// Tables of texts: `[key]` and below it `language = "text"` or `"""text"""`. This is the part of TOML that they use.

const KEY = /^\[(.+)\]$/u;
const ENTRY = /^([\w-]+) = (.*)$/u;
const unquoted = (key) => key.replaceAll('"', "");

export function texts(source) {
  const found = {};
  const lines = source.split("\n");
  let here = null;
  for (let i = 0; i < lines.length; i++) {
    const [, key] = KEY.exec(lines[i]) ?? [];
    const [, language, value] = ENTRY.exec(lines[i]) ?? [];
    if (key) here = found[unquoted(key)] = {};
    else if (value === '"""') {
      const end = lines.indexOf('"""', i);
      here[language] = lines.slice(i + 1, end).join("\n").trim();
      i = end;
    } else if (language) here[language] = JSON.parse(value);
  }
  return found;
}
