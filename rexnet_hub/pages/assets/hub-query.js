/* The index's query language, as rexnet_hub/index/query.py defines it: text in, a function of a model out.
 *
 *   query = all { "or" all };  all = one { ["and"] one };  one = "not" one | "(" query ")" | NAME OP VALUE
 *
 * A model is {text: {name: [words]}, number: {name: value}}. A verdict is true, false or null: unknown. */
window.RexnetHub = window.RexnetHub || {};
(function (hub) {
  "use strict";
  const UNITS = {
    "": [0, 1], "%": [0, 1], k: [3, 1], m: [6, 1], g: [9, 1], b: [9, 1], t: [12, 1], kb: [3, 1], mb: [6, 1],
    gb: [9, 1], kib: [0, 2 ** 10], mib: [0, 2 ** 20], gib: [0, 2 ** 30],
  };
  const TOKEN = /\s*(?:(\()|(\))|([A-Za-z_][\w.-]*)|(<=|>=|!=|[<>=:])|(\S))/y;
  const VALUE = /\s*(?:("[^"]*"|'[^']*')|([^\s()]+))/y;
  const QUANTITY = /^([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:[eE]([-+]?\d{1,2}))?\s*([A-Za-z%]*)$/;
  const MAX_DEPTH = 50;
  const COMPARE = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, ":": (a, b) => a === b, "!=": (a, b) => a !== b,
  };

  class QueryError extends Error {
    constructor(place, message) {
      super(message);
      this.place = place;
    }
  }

  /* A `*` is any text, a `?` one character; letter case does not matter. */
  function matches(pattern, text) {
    [pattern, text] = [Array.from(pattern.toLowerCase()), Array.from(text.toLowerCase())];
    let at = 0, inText = 0, star = -1, retry = 0;
    while (inText < text.length) {
      if (pattern[at] === "*") [star, retry, at] = [at, inText, at + 1];
      else if (pattern[at] === "?" || (at < pattern.length && pattern[at] === text[inText])) [at, inText] = [at + 1, inText + 1];
      else if (star >= 0) [retry, at, inText] = [retry + 1, star + 1, retry + 1];
      else return false;
    }
    return pattern.slice(at).every((char) => char === "*");
  }

  function quantity(told, place) {
    const match = QUANTITY.exec(told);
    if (!match) throw new QueryError(place, `'${told}' is not a number`);
    const unit = UNITS[match[3].toLowerCase()];
    if (!unit || !Object.hasOwn(UNITS, match[3].toLowerCase())) throw new QueryError(place, `'${match[3]}' is no unit`);
    return Number(`${match[1]}e${Number(match[2] || 0) + unit[0]}`) * unit[1];
  }

  /* Names come from the page: {aliases: {short: name}, text: [names], number: [names]}. */
  function parse(text, names) {
    let place = 0;
    function peek() {
      TOKEN.lastIndex = place;
      const match = TOKEN.exec(text);
      if (!match) return null;
      const [whole, open, close, word, operator] = match;
      const start = place + whole.length - whole.trimStart().length;
      return { open, close, word, operator, start, end: place + whole.length, lower: (word || "").toLowerCase() };
    }
    function anyOf(depth) {
      const parts = [allOf(depth)];
      for (let next = peek(); next && next.lower === "or"; next = peek()) {
        place = next.end;
        parts.push(allOf(depth));
      }
      return group(parts, true);
    }
    function allOf(depth) {
      const parts = [one(depth)];
      for (let next = peek(); next && !next.close && next.lower !== "or"; next = peek()) {
        if (next.lower === "and") place = next.end;
        parts.push(one(depth));
      }
      return group(parts, false);
    }
    function one(depth) {
      const next = peek();
      if (depth > MAX_DEPTH) throw new QueryError(place, `nested deeper than ${MAX_DEPTH}`);
      if (!next) throw new QueryError(text.length, "the query ends too early: expected is a comparison such as top1>=79");
      if (next.lower === "not") {
        place = next.end;
        const part = one(depth + 1);
        return (model) => { const verdict = part(model); return verdict === null ? null : !verdict; };
      }
      if (next.open) {
        place = next.end;
        const inner = anyOf(depth + 1), closing = peek();
        if (!closing || !closing.close) throw new QueryError(next.start, "this parenthesis is not closed");
        place = closing.end;
        return inner;
      }
      if (!next.word) throw new QueryError(next.start, "expected is a name, such as top1 or params");
      return condition(next);
    }
    function condition(next) {
      place = next.end;
      let name = next.lower.replaceAll("-", "_");
      if (Object.hasOwn(names.aliases, name)) name = names.aliases[name];
      const operator = peek();
      if (!operator || !operator.operator)
        throw new QueryError(next.start, `'${next.word}' is compared with nothing: expected is one such as top1>=79`);
      const isText = names.text.includes(name);
      if (!isText && !names.number.includes(name))
        throw new QueryError(next.start, `'${next.word}' is no name that can be asked for`);
      VALUE.lastIndex = operator.end;
      const value = VALUE.exec(text), how = operator.operator;
      if (!value) throw new QueryError(text.length, `expected is a value after ${next.word}${how}`);
      const told = value[1] === undefined ? value[2] : value[1].slice(1, -1), start = VALUE.lastIndex - value[0].trimStart().length;
      place = VALUE.lastIndex;
      if (!isText) {
        const number = quantity(told, start);
        return (model) => (Object.hasOwn(model.number, name) ? COMPARE[how](model.number[name], number) : null);
      }
      if (!["=", "!=", ":"].includes(how))
        throw new QueryError(operator.start, `${next.word} is text; it can be compared with : = and !=`);
      return (model) => {
        const words = Object.hasOwn(model.text, name) ? model.text[name] : [];
        return words.length ? words.some((word) => matches(told, word)) !== (how === "!=") : null;
      };
    }
    function group(parts, deciding) {
      if (parts.length === 1) return parts[0];
      return (model) => {
        const verdicts = parts.map((part) => part(model));
        return verdicts.includes(deciding) ? deciding : verdicts.includes(null) ? null : !deciding;
      };
    }
    if (!text.trim()) return () => true;
    const found = anyOf(0), left = peek();
    if (left) throw new QueryError(left.start, left.close ? "this closes nothing" : "this was not expected");
    return found;
  }

  hub.parseQuery = parse;
  hub.QueryError = QueryError;
})(window.RexnetHub);
