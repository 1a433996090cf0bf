(() => {
  const home = document.currentScript.closest(".hk-predict");
  const ask = JSON.parse(home.dataset.ask);
  const place = home.querySelector(".hk-predict-guess");
  const fold = home.querySelector("details");
  const question = home.querySelector(".hk-predict-question");
  const node = (tag, attributes, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  // Guesses stay in this browser; where it keeps nothing, on this page.
  const kept = {
    get: () => { try { return JSON.parse(localStorage.getItem(ask.key)); } catch { return null; } },
    set: (guess) => { try { localStorage.setItem(ask.key, JSON.stringify(guess)); } catch { /* stays here */ } },
    drop: () => { try { localStorage.removeItem(ask.key); } catch { /* there is none */ } },
  };
  const items = [...place.querySelectorAll("li")].map((item) => [...item.childNodes]);
  const copy = (number) => items[number].map((child) => child.cloneNode(true));
  const status = node("p", { role: "status" });
  const again = node("button", { type: "button" }, "Guess again");
  const number = (text) => {
    const bare = text.replace(/[\s_,]/g, "").replace(/^\+/, "");
    const minus = bare.startsWith("-");
    if (!/^-?(0x[0-9a-f]+|0b[01]+|\d+)$/i.test(bare)) return null;
    const value = BigInt(minus ? bare.slice(1) : bare);
    return minus ? -value : value;
  };
  const said = (guess) => (ask.kind === "several" ? guess.join(", ") || "none of them" : guess);
  const same = (guess) => {
    if (ask.kind === "number") return number(guess) === BigInt(ask.right);
    if (ask.kind === "several") return guess.length === ask.right.length && guess.every((one) => ask.right.includes(one));
    return guess === ask.right;
  };
  const plain = (text) => text.replaceAll("`", "");

  const tell = (guess) => {
    const verdict = ask.kind === "words" || ask.right === null ? "" : same(guess) ? " \u2714 As you said." : " \u2718 It went another way.";
    const happened = ask.right === null ? "" : ` It was: ${plain(ask.told)}.`;
    const counted = ask.kind === "number" && ask.unit ? ` ${ask.unit}` : "";
    status.textContent = `You predicted: ${plain(said(guess))}${counted}.${happened}${verdict}`;
    again.hidden = false;
    if (fold) fold.open = true;
  };
  const guessed = (guess) => { kept.set(guess); mark(guess); tell(guess); };
  let mark = () => {};
  let clear = () => {};

  const build = {
    one() {
      const buttons = ask.options.map((option, at) => node("button", { type: "button", "aria-pressed": "false" }, ...copy(at)));
      buttons.forEach((button, at) => button.addEventListener("click", () => guessed(ask.options[at])));
      mark = (guess) => buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(ask.options[at] === guess)));
      clear = () => mark(null);
      return node("div", { role: "group", "aria-labelledby": question.id }, ...buttons);
    },
    several() {
      const boxes = ask.options.map(() => node("input", { type: "checkbox" }));
      const labels = boxes.map((box, at) => node("label", {}, box, node("span", {}, ...copy(at))));
      const group = node("div", { role: "group", "aria-labelledby": question.id }, ...labels);
      const form = node("form", {}, group, node("button", { type: "submit" }, "That is my guess"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        guessed(ask.options.filter((_, at) => boxes[at].checked));
      });
      mark = (guess) => boxes.forEach((box, at) => { box.checked = guess.includes(ask.options[at]); });
      clear = () => mark([]);
      return form;
    },
    number: () => field(node("input", { type: "text", size: "14", inputmode: "text", autocomplete: "off", "aria-labelledby": question.id })),
    words: () => field(node("textarea", { rows: "2", "aria-labelledby": question.id })),
  };
  function field(input) {
    const form = node("form", {}, input, ...(ask.unit ? [ask.unit] : []), node("button", { type: "submit" }, "That is my guess"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (ask.kind === "number" ? number(text) === null : !text) {
        status.textContent = ask.kind === "number"
          ? `Expected a number such as 25 or 0x19; got "${text}".` : "Write a few words first.";
        return;
      }
      guessed(text);
    });
    mark = (guess) => { input.value = guess; };
    clear = () => mark("");
    return form;
  }

  // A notebook takes single letters as commands; not those that are typed here.
  place.dataset.lmSuppressShortcuts = "true";
  place.addEventListener("keydown", (event) => event.stopPropagation());
  again.hidden = true;
  again.addEventListener("click", () => {
    kept.drop();
    clear();
    status.textContent = "";
    again.hidden = true;
    if (fold) fold.open = false;
    place.querySelector("button, input, textarea").focus();
  });
  place.replaceChildren(build[ask.kind](), status, again);
  const guess = kept.get();
  if (guess !== null && (ask.kind === "several") === Array.isArray(guess)) { mark(guess); tell(guess); }
})();
