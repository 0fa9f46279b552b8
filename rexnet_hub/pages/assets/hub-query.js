/* The index's query language, as rexnet_hub/index/query.py defines it: text in, a function of a model out.
 *
 *   query = all { "or" all };  all = one { ["and"] one };  one = "not" one | "(" query ")" | NAME ["@" PLACE] OP VALUE
 *
 * A model is {text: {name: [words]}, number: {name: value}, results: [{dataset, split, task, number}]}. A verdict is
 * true, false or null: unknown. */
window.RexnetHub = window.RexnetHub || {};
(function (hub) {
  "use strict";
  const UNITS = {
    "": [0, 1], "%": [0, 1], k: [3, 1], m: [6, 1], g: [9, 1], b: [9, 1], t: [12, 1], kb: [3, 1], mb: [6, 1],
    gb: [9, 1], kib: [0, 2 ** 10], mib: [0, 2 ** 20], gib: [0, 2 ** 30],
  };
  const TOKEN = /\s*(?:(\()|(\))|((?!\p{Nd})[\p{L}\p{N}_][\p{L}\p{N}_.\-]*(?:@(?:"[^"]*"|'[^']*'|[\p{L}\p{N}_.\/\-]+))*)|([<>=:!~≤≥≠](?:\s*[<>=!~≤≥≠])*)|(\S))/uy;
  const COMPARED = /\s*[<>=:!~≤≥≠]/y;
  const SPACE = /[\s\u001c-\u001f\u0085]/g;
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

  /* A number in the unit that a figure of this name has; one that can hardly be meant is refused. */
  function quantity(word, name, names, told, place) {
    const match = QUANTITY.exec(told), kind = Object.hasOwn(names.kinds, name) ? names.kinds[name] : "any";
    const refuse = (why) => { throw new QueryError(place, why); };
    if (!match) refuse(`'${told}' is not a number`);
    const unitName = match[3].toLowerCase(), unit = Object.hasOwn(UNITS, unitName) ? UNITS[unitName] : undefined;
    if (!unit || (kind !== "any" && !names.units[kind].includes(unitName))) refuse(`'${match[3]}' is no unit of ${word}`);
    const power = Number(match[2] || 0) + unit[0] - (kind === "fraction" && unitName === "%" ? 2 : 0);
    const number = Number(`${match[1]}e${power}`) * unit[1];
    if (kind === "percent" && number > 0 && number < 1 && !told.endsWith("%"))
      refuse(`${word} is in percentage points: write ${Number((100 * number).toPrecision(12))}`);
    if (kind === "percent" && !(number >= 0 && number <= 100)) refuse(`${word} is in percentage points, from 0 to 100`);
    if (kind === "fraction" && number > 1 && unitName !== "%") refuse(`${word} is a fraction, from 0 to 1`);
    if (Object.hasOwn(names.counted, name) && number > 0 && number < 1000 && /\d$/.test(told))
      refuse(`${word} is counted in ${names.counted[name]}: write ${told}M`);
    return number;
  }

  const fold = (told) => told.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || told;
  const queryName = (label) => label.toLowerCase().replace(/[^\p{L}\p{N}_@.]+/gu, "_").replace(/^_+|_+$/g, "");

  /* Names come from the page: {aliases: {short: name}, text: [names], number: [names], metrics: [names],
   * result: [names of a result's texts], spellings: {name: {folded: key}}, and of numbers their kinds and units}; `models` are all that are asked. */
  function parse(asked, names, models) {
    const text = asked.replace(SPACE, " ");
    let place = 0;
    const key = (kind, told) => {
      const folded = fold(told || ""), known = names.spellings[kind];
      return Object.hasOwn(known, folded) ? known[folded] : folded;
    };
    const meets = (kind, pattern, told) => matches(pattern, told) ||
      (Object.hasOwn(names.spellings, kind) && key(kind, told) === key(kind, pattern));
    function isPlace(on, result) {
      const cut = on.lastIndexOf("/"), dataset = key("dataset", result.dataset), split = result.split || "";
      const parts = [split, split.split(result.dataset ? ", crop " : ",")[0]].filter(Boolean).map((told) => key("split", told));
      if (!result.dataset) return parts.includes(key("split", on));
      return key("dataset", on) === dataset || (cut > 0 &&
        key("dataset", on.slice(0, cut)) === dataset && parts.includes(key("split", on.slice(cut + 1))));
    }
    /* The number of a model in a scope: {on, beside: [conditions on a result]}. */
    function find(model, name, { on, beside }) {
      if (!on && !(beside.length && model.results.some((result) => name in result.number)) &&
        Object.hasOwn(model.number, name)) return model.number[name];
      const found = model.results.find((result) => Object.hasOwn(result.number, name) &&
        (!on || isPlace(on, result)) && beside.every((holds) => holds(result)));
      return found && found.number[name];
    }
    const isKnown = (name, on) => models.some((model) => find(model, name, { on, beside: [] }) !== undefined);
    function readName(word, start) {
      let name = queryName(word), on = "";
      if (word.includes("@") && !Object.hasOwn(names.aliases, name) && !isKnown(name, "")) {
        const cut = word.lastIndexOf("@");
        [name, on] = [queryName(word.slice(0, cut)), word.slice(cut + 1).replace(/^["']+|["']+$/g, "")];
      }
      if (Object.hasOwn(names.aliases, name)) name = names.aliases[name];
      const isField = names.text.includes(name) || names.number.includes(name);
      if (!isField && !isKnown(name, "")) throw new QueryError(start, `'${word}' is no name that can be asked for`);
      if (!on || isKnown(name, on)) return [name, on];
      if (isField && !names.metrics.includes(name)) throw new QueryError(start, `${name} is of no data set`);
      const there = [on, on.slice(0, Math.max(0, on.lastIndexOf("/")))].filter(Boolean).map((told) => key("dataset", told));
      if (!models.some((model) => model.results.some((result) => there.includes(key("dataset", result.dataset)))))
        throw new QueryError(start, `no model here has ${name} on '${on}'`);
      return [name, on];
    }
    function peek() {
      TOKEN.lastIndex = place;
      const match = TOKEN.exec(text);
      if (!match) return null;
      const [whole, open, close, word, operator] = match;
      const start = place + whole.length - whole.trimStart().length;
      COMPARED.lastIndex = place + whole.length;
      const lower = COMPARED.test(text) ? "" : (word || "").toLowerCase(); // what is compared is no keyword
      return { open, close, word, operator, start, end: place + whole.length, lower };
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
        return { judge: (model, beside) => { const verdict = part.judge(model, beside); return verdict === null ? null : !verdict; } };
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
      const operator = peek();
      if (!operator || !operator.operator)
        throw new QueryError(next.start, `'${next.word}' is compared with nothing: expected is one such as top1>=79`);
      if (!Object.hasOwn(COMPARE, operator.operator)) {
        const close = operator.operator.replace(/\s/g, ""), meant = Object.hasOwn(COMPARE, close) ? close : names.meant[close];
        throw new QueryError(operator.start, `'${operator.operator}' is no operator; ${meant ? `write ${meant}` : "there are < <= > >= = != :"}`);
      }
      const [name, on] = readName(next.word, next.start), isText = names.text.includes(name);
      VALUE.lastIndex = operator.end;
      const value = VALUE.exec(text), how = operator.operator;
      if (!value) throw new QueryError(text.length, `expected is a value after ${next.word}${how}`);
      const told = value[1] === undefined ? value[2] : value[1].slice(1, -1), start = VALUE.lastIndex - value[0].trimStart().length;
      place = VALUE.lastIndex;
      if (!isText) {
        const number = quantity(next.word, name, names, told, start);
        return { judge: (model, beside) => {
          const value = find(model, name, { on, beside: on ? [] : beside });
          return value === undefined ? null : COMPARE[how](value, number);
        } };
      }
      if (!["=", "!=", ":"].includes(how))
        throw new QueryError(operator.start, `${next.word} is text; it can be compared with : = and !=`);
      const judge = (model) => {
        const words = Object.hasOwn(model.text, name) ? model.text[name] : [];
        return words.length ? words.some((word) => meets(name, told, word)) !== (how === "!=") : null;
      };
      const isBeside = names.result.includes(name) && how !== "!=";
      return isBeside ? { judge, beside: (result) => Boolean(result[name]) && meets(name, told, result[name]) } : { judge };
    }
    function group(parts, deciding) {
      if (parts.length === 1) return parts[0];
      const own = deciding ? [] : parts.filter((part) => part.beside).map((part) => part.beside);
      return { judge: (model, beside) => {
        const verdicts = parts.map((part) => part.judge(model, [...beside, ...own]));
        return verdicts.includes(deciding) ? deciding : verdicts.includes(null) ? null : !deciding;
      } };
    }
    if (!text.trim()) return () => true;
    const found = anyOf(0), left = peek();
    if (left) throw new QueryError(left.start, left.close ? "this closes nothing" : "this was not expected");
    return (model) => found.judge(model, []);
  }

  hub.parseQuery = parse;
  hub.QueryError = QueryError;
})(window.RexnetHub);
