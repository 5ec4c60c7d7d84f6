"use strict";
(() => {
  const page = 50;
  const mostWords = 500;
  const held = document.getElementById("cases-data");
  const room = document.getElementById("cases");
  if (!held || !room) return;
  const data = JSON.parse(held.textContent);
  const at = (id) => document.getElementById(id);
  const search = at("cases-search"), which = at("cases-which"), judge = at("cases-judge"), slice = at("cases-slice");
  const from = at("cases-from"), to = at("cases-to"), body = at("cases-body"), told = at("cases-told");
  const back = at("cases-back"), on = at("cases-on"), pages = at("cases-pages");
  const texts = new Array(data.cases.length);
  let found = [], start = 0;

  // Text is only ever set as text: nothing that a model said can become an element.
  const made = (name, kind, text) => {
    const element = document.createElement(name);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const option = (select, value, text) => {
    const one = made("option", "", text);
    one.value = value;
    select.append(one);
  };

  const passed = (answer, judged) => {
    if (judged >= 0) return answer[2][judged] === "1";
    return !answer[1] && answer[2].length > 0 && !/[0-]/.test(answer[2]);
  };
  const failed = (answer, judged) => {
    if (judged >= 0) return answer[2][judged] === "0";
    return answer[2].includes("0");
  };
  const pattern = (one, judged) => one[4].map((answer) => (judged >= 0 ? answer[2][judged] : answer[2]) + (answer[1] ? "!" : ""));
  const kinds = {
    all: () => true,
    differs: (one, judged) => new Set(pattern(one, judged)).size > 1,
    errors: (one) => one[4].some((answer) => answer[1]),
  };
  data.models.forEach((_, place) => {
    kinds["fails" + place] = (one, judged) => failed(one[4][place], judged);
    kinds["only" + place] = (one, judged) =>
      failed(one[4][place], judged) && one[4].some((answer, other) => other !== place && passed(answer, judged));
  });

  const text = (place) => {
    if (texts[place] === undefined) {
      const one = data.cases[place];
      const parts = [one[1], one[2], one[3]];
      for (const answer of one[4]) parts.push(answer[0], answer[1], ...Object.values(answer[3]));
      texts[place] = parts.join("\n").toLowerCase();
    }
    return texts[place];
  };

  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = kinds[which.value] || kinds.all, judged = Number(judge.value);
    const [by, value] = slice.value.split(":").map(Number);
    found = [];
    data.cases.forEach((one, place) => {
      if (slice.value && one[5][by] !== value) return;
      if (!kind(one, judged)) return;
      if (words.length && !words.every((word) => text(place).includes(word) || one[0] === word || one[0].split(".")[0] === word)) return;
      found.push(place);
    });
    start = 0;
    show();
  };

  const sign = (answer, judged) => {
    const none = judged >= 0 && answer[2][judged] === "-";
    const good = passed(answer, judged);
    const mark = made("span", none ? "aside" : good ? "pass" : "fail");
    const drawn = made("span", "", none ? "–" : good ? "✓" : "✗");
    drawn.setAttribute("aria-hidden", "true");
    mark.append(drawn, made("span", "spoken", none ? "no score" : good ? "passed" : "failed"));
    return mark;
  };

  const show = () => {
    const judged = Number(judge.value);
    body.replaceChildren(...found.slice(start, start + page).map((place) => row(data.cases[place], judged)));
    const all = data.cases.length.toLocaleString("en");
    told.textContent = found.length ? `${found.length.toLocaleString("en")} of ${all} ${data.unit}s` : `None of ${all} ${data.unit}s`;
    back.disabled = start === 0;
    on.disabled = start + page >= found.length;
    pages.hidden = found.length <= page;
    at("cases-place").textContent = `${(start + 1).toLocaleString("en")} – ${Math.min(start + page, found.length).toLocaleString("en")}`;
  };

  const row = (one, judged) => {
    const folded = made("details", "example case");
    const head = made("summary");
    const signs = made("span", "signs");
    data.models.forEach((name, place) => {
      const each = made("span", "sign");
      each.append(sign(one[4][place], judged), " " + name);
      signs.append(each);
    });
    const line = made("span", "line", one[2].slice(0, 160));
    line.dir = "auto";
    head.append(made("span", "number", `Case ${one[0]}`), line, signs);
    folded.append(head);
    folded.addEventListener("toggle", () => {
      if (folded.open && folded.children.length === 1) folded.append(...inside(one));
    });
    return folded;
  };

  const block = (name, content, kind) => {
    const box = made("div", "said");
    box.append(made("h4", "", name));
    const shown = made("div", kind, content);
    shown.dir = "auto";
    box.append(shown);
    return box;
  };

  const inside = (one) => {
    const ask = made("div", "ask");
    ask.append(block("Asked", one[2], "text"));
    ask.firstChild.firstChild.append(made("span", "aside", one[1]));
    if (one[3]) ask.append(block("Expected", one[3], "text answer"));
    const answers = made("div", "answers");
    data.models.forEach((name, place) => {
      const answer = one[4][place];
      const box = answer[0] ? block(name, answer[0], "text answer") : block(name, answer[1] ? "" : "an empty answer", "aside");
      box.firstChild.append(sign(answer, -1));
      if (answer[1]) box.append(made("p", "reason", "error: " + answer[1]));
      const marks = made("ul", "marks");
      data.evaluators.forEach((judgeName, which) => {
        if (answer[2][which] === "-") return;
        const item = made("li"), said = made("span", "", judgeName);
        if (answer[3][which]) said.append(made("span", "reason", answer[3][which]));
        item.append(sign(answer, which), said);
        marks.append(item);
      });
      box.append(marks);
      answers.append(box);
    });
    const changed = difference(one);
    return changed ? [ask, changed, answers] : [ask, answers];
  };

  const side = (one, chosen) => (chosen === "expected" ? one[3] : (one[4][Number(chosen)] || [""])[0]);
  const name = (chosen) => (chosen === "expected" ? "expected" : data.models[Number(chosen)]);
  const difference = (one) => {
    const before = side(one, from.value), after = side(one, to.value);
    if (!before || !after || from.value === to.value) return null;
    const box = made("div", "changed");
    box.append(made("h4", "", `From ${name(from.value)} to ${name(to.value)}`));
    const shown = made("p", "diff text answer");
    shown.dir = "auto";
    if (before === after) shown.textContent = "the same";
    else for (const [kind, words] of changes(before, after)) shown.append(made(kind, "", words));
    box.append(shown);
    return box;
  };

  // The longest common subsequence of words; texts of more words are told as gone and new as a whole.
  const changes = (before, after) => {
    const cut = (whole) => whole.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];
    const a = cut(before), b = cut(after);
    if (a.length > mostWords || b.length > mostWords) return [["del", before], ["ins", after]];
    const wide = b.length + 1, best = new Uint16Array((a.length + 1) * wide);
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        best[i * wide + j] = a[i] === b[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
    const found = [];
    const add = (kind, word) => {
      const last = found[found.length - 1];
      if (last && last[0] === kind) last[1] += word;
      else found.push([kind, word]);
    };
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) add("span", a[i++]), j++;
      else if (j >= b.length || (i < a.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) add("del", a[i++]);
      else add("ins", b[j++]);
    }
    return found;
  };

  option(which, "all", "All cases");
  if (data.models.length > 1) option(which, "differs", "Where models differ");
  data.models.forEach((name, place) => option(which, "fails" + place, `${name} fails`));
  if (data.models.length > 1) data.models.forEach((name, place) => option(which, "only" + place, `${name} fails, another passes`));
  option(which, "errors", "Without an answer or a score");
  option(judge, "-1", "All evaluators");
  data.evaluators.forEach((name, place) => option(judge, String(place), name));
  option(slice, "", "All slices");
  data.slices.forEach(([by, values], first) => values.forEach((value, second) => option(slice, `${first}:${second}`, `${by}: ${value}`)));
  slice.parentElement.hidden = !data.slices.length;
  for (const select of [from, to]) {
    option(select, "expected", "what is expected");
    data.models.forEach((name, place) => option(select, String(place), name));
  }
  from.value = data.rival >= 0 ? String(data.rival) : "expected";
  to.value = data.told >= 0 ? String(data.told) : "expected";

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 80);
  });
  for (const select of [which, judge, slice]) select.addEventListener("change", choose);
  for (const select of [from, to]) select.addEventListener("change", show);
  back.addEventListener("click", () => ((start = Math.max(0, start - page)), show()));
  on.addEventListener("click", () => ((start += page), show(), room.scrollIntoView()));
  room.hidden = false;
  for (const other of document.querySelectorAll(".unscripted")) other.hidden = true;
  choose();
})();
