// Shows the routes of /openapi.json. Text goes in as text, never as HTML.
"use strict";

function element(name, text, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** The name of a schema, or its type. */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  const types = Array.isArray(schema.type) ? schema.type.filter((type) => type !== "null") : [schema.type];
  return types.filter(Boolean).join(" or ") || (schema.oneOf || []).map(kind).filter(Boolean).join(" or ");
}

function body(content) {
  return Object.entries(content || {}).map(([type, { schema }]) => `${kind(schema)} (${type})`).join(", ");
}

function fields(schema, schemas) {
  const list = document.createElement("dl");
  const parts = [schema, ...(schema.allOf || [])].map((part) => (part.$ref ? schemas[kind(part)] : part));
  for (const part of parts) {
    for (const [name, field] of Object.entries(part.properties || {})) {
      const required = (part.required || []).includes(name) ? "" : ", may be absent";
      list.append(element("dt", `${name}: ${kind(field)}${required}`), element("dd", field.description || ""));
    }
  }
  return list;
}

async function show() {
  const target = document.getElementById("routes");
  const api = await (await fetch("/openapi.json")).json();
  target.textContent = "";
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const details = document.createElement("details");
      details.append(element("summary", `${method.toUpperCase()} ${path}: ${operation.summary || ""}`));
      for (const parameter of operation.parameters || []) {
        details.append(element("p", `${parameter.in} ${parameter.name}: ${parameter.description || ""}`));
      }
      if (operation.requestBody) details.append(element("p", `takes ${body(operation.requestBody.content)}`));
      for (const [status, response] of Object.entries(operation.responses)) {
        details.append(element("p", `${status}: ${body(response.content)} ${response.description || ""}`));
      }
      target.append(details);
    }
  }
  target.append(element("h2", "Types"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    target.append(element("details", "", element("summary", name), element("p", schema.description || ""),
      fields(schema, api.components.schemas)));
  }
}

show().catch((error) => { document.getElementById("routes").textContent = String(error); });
