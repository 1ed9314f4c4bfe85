// What is shown, in the address: a link leads to the same experiment, table, item and theme.

const address = () => new URLSearchParams(location.hash.slice(1));

// Values are texts, lists of texts, or null and "" for what is as it is without being asked for.
function remember(changes) {
  const found = address();
  for (const [name, value] of Object.entries(changes)) {
    found.delete(name);
    for (const each of [value].flat()) if (each !== null && each !== undefined && each !== "") found.append(name, each);
  }
  history.replaceState(null, "", `#${found}`);
}

const FORGOTTEN_WITH_A_VIEW = { items: null, show: null, of: null, item: null };  // where the items change, so does their place
