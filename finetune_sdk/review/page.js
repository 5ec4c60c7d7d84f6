// The page of a review. Texts come from models and users: they are set as textContent, never as markup.
"use strict";

const FOLDED = 6000;
const HEAD = 4000;
const PAUSE = 250; // a key that is hit twice votes once
const CHOICES = ["1", "2", "0"];
const ROLES = { user: "Asked", system: "System", developer: "Developer", assistant: "Assistant", tool: "Tool" };

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
let reviewer = "";
let shown = null;
let pending = null;

function made(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function show(state) {
  const open = { who: ["who"], case: ["case", "desk"], end: ["end", "desk"], fault: ["fault"] }[state];
  for (const id of ["who", "case", "desk", "end", "fault"]) at(id).hidden = !open.includes(id);
  for (const button of document.querySelectorAll("[data-choice]")) button.hidden = state === "end";
  at("note").hidden = state === "end";
}

function write(into, text) {
  const body = made("div", text || "(an empty answer)", text ? "text" : "text nothing");
  body.dir = "auto";
  into.replaceChildren(body);
  if (text.length <= FOLDED) return;
  body.textContent = text.slice(0, HEAD).replace(/[\ud800-\udbff]$/, "") + "…";
  const more = made("button", `Show all ${number.format(text.length)} characters`, "more");
  more.type = "button";
  more.addEventListener("click", () => {
    body.textContent = text;
    more.remove();
  });
  into.append(more);
}

function turn(message) {
  const part = document.createElement("div");
  const text = document.createElement("div");
  write(text, message.text);
  part.append(made("h3", ROLES[message.role] ?? message.role), text);
  return part;
}

function conversation(turns) {
  const asked = turns.map((message) => message.role).lastIndexOf("user");
  const earlier = turns.slice(0, Math.max(asked, 0));
  at("turns").replaceChildren(...turns.slice(earlier.length).map(turn));
  at("earlier").hidden = !earlier.length;
  at("earlier").open = false;
  at("earlier").firstElementChild.textContent = `${earlier.length} earlier message${earlier.length === 1 ? "" : "s"}`;
  at("earlier").lastElementChild.replaceChildren(...earlier.map(turn));
}

function draw(sheet) {
  reviewer = sheet.reviewer;
  shown = sheet.ballot;
  sessionStorage.setItem("reviewer", reviewer);
  at("standing").textContent = `${number.format(sheet.done)} of ${number.format(sheet.total)}`;
  at("leave").textContent = `${reviewer} · change`;
  at("leave").hidden = at("bar").hidden = false;
  at("bar").max = sheet.total;
  at("bar").value = sheet.done;
  at("undo").disabled = !sheet.done;
  at("note").value = sheet.before?.note ?? "";
  at("note").blur();
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.ariaPressed = String(button.dataset.choice === sheet.before?.choice);
  }
  if (!shown) {
    at("end").firstElementChild.textContent = `All ${number.format(sheet.total)} cases are done. Thank you, ${reviewer}.`;
    show("end");
    ready("end");
    return;
  }
  conversation(shown.turns);
  for (const part of ["tools", "expected"]) {
    at(part).hidden = !shown[part];
    at(part).open = false;
    write(at(part).lastElementChild, shown[part]);
  }
  write(at("first"), shown.first);
  write(at("second"), shown.second);
  show("case");
  window.scrollTo(0, 0);
  setTimeout(() => ready("case"), PAUSE);
}

function ready(state) {
  document.body.dataset.state = state;
}

function failed(said, cure) {
  at("fault").firstElementChild.textContent = said;
  at("fault").children[1].textContent = cure;
  show("fault");
  ready("fault");
}

async function ask(action) {
  pending = action;
  ready("asking");
  let answer;
  try {
    const reply = await fetch(action.path, action.body && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(action.body),
    });
    answer = reply.headers.get("Content-Type")?.startsWith("application/json") ? await reply.json() : { error: await reply.text() };
  } catch {
    failed(
      "The server does not answer any more.",
      "Votes that were counted are kept. Start finetune review again and open the address that it prints; it goes on where you stopped.",
    );
    return;
  }
  if (answer.error) failed(answer.error, answer.cure ?? "");
  else action.then(answer);
}

function begin(name) {
  ask({ path: `sheet?reviewer=${encodeURIComponent(name)}`, then: draw });
}

function vote(choice) {
  if (document.body.dataset.state !== "case") return;
  const body = { reviewer, ballot: shown.id, choice, note: at("note").value };
  for (const button of document.querySelectorAll("[data-choice]")) button.ariaPressed = String(button.dataset.choice === choice);
  ask({ path: "vote", body, then: draw });
}

function undo() {
  if (!["case", "end"].includes(document.body.dataset.state) || at("undo").disabled) return;
  ask({ path: "undo", body: { reviewer }, then: draw });
}

function welcome() {
  sessionStorage.removeItem("reviewer");
  ask({
    path: "start",
    then: (found) => {
      at("names").replaceChildren(...found.reviewers.map((name) => Object.assign(document.createElement("option"), { value: name })));
      at("standing").textContent = `${number.format(found.total)} case${found.total === 1 ? "" : "s"}`;
      at("leave").hidden = at("bar").hidden = true;
      at("name").value = "";
      show("who");
      at("name").focus();
      ready("who");
    },
  });
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.matches("input, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  const digit = event.shiftKey ? "" : event.code.replace("Digit", ""); // where digits need the shift key, they work without it too
  if (CHOICES.includes(key)) vote(key);
  else if (CHOICES.includes(digit)) vote(digit);
  else if (key === "u") undo();
  else if (key === "n" && document.body.dataset.state === "case") {
    event.preventDefault();
    at("note").focus();
  }
});
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));
at("undo").addEventListener("click", undo);
at("leave").addEventListener("click", welcome);
at("again").addEventListener("click", () => (reviewer ? ask(pending) : welcome()));
at("who").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(at("name").value);
});

const known = sessionStorage.getItem("reviewer");
if (known) begin(known);
else welcome();
