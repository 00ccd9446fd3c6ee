"use strict";

const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
};

const field = (form, name, value = "", kind = "input") => {
  const label = element("label", name + " ");
  const input = element(kind);
  input.value = value;
  if (kind === "textarea") input.rows = Math.min(16, value.split("\n").length + 1);
  label.append(input);
  form.append(label);
  return input;
};

const show = (document_, path, method, operation) => {
  const box = element("details");
  const summary = element("summary");
  summary.append(element("span", method, "method"), element("code", path), " " + operation.summary);
  const form = element("form");
  if (operation.description) form.append(element("p", operation.description));
  const parameters = (operation.parameters ?? []).map((parameter) => [parameter, field(form, `${parameter.name} (${parameter.in})`)]);
  const schema = operation.requestBody?.content["application/json"].schema.$ref.split("/").pop();
  const example = schema && JSON.stringify(document_.components.schemas[schema].examples[0], null, 2);
  const body = example && field(form, "body", example, "textarea");
  const answer = element("pre");
  form.append(element("button", "Try it"), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const headers = {};
    const token = document.getElementById("token").value.trim();
    if (token) headers.authorization = `Bearer ${token}`;
    const query = new URLSearchParams();
    let target = path;
    for (const [parameter, input] of parameters) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value) headers[parameter.name] = input.value;
    }
    if (body) headers["content-type"] = "application/json";
    if (query.size) target += `?${query}`;
    try {
      const response = await fetch(target, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
      answer.textContent = `${response.status} ${response.statusText}\n${[...response.headers].map((one) => one.join(": ")).join("\n")}\n\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
  box.append(summary, form);
  return box;
};

fetch("/openapi.json").then((response) => response.json()).then((document_) => {
  const list = document.getElementById("operations");
  list.textContent = "";
  for (const [path, operations] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(operations)) list.append(show(document_, path, method, operation));
  }
});
