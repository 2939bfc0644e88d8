// Every kind of value, in JavaScript. ../wit/kinds.wit says what the functions do; ../README.md says what becomes of
// 64-bit integers, which is why they are not right here beyond 2^53.

const same = (value) => value;

function nothing() {}

// The toolchain hands a `u32` over as if it had a sign, and takes it in no other way: what is not below 2^31 comes out as
// 2^31 - 1. So it is repaired on its way in; on its way out it is left as bit operations give it.
const unsigned = (number) => number >>> 0;

const wrapped = (number) => BigInt.asIntN(64, number);

function sum(numbers) {
  let total = 0n;
  for (const number of numbers) total += BigInt(number);
  return Number(wrapped(total));
}

function sumDecimal(numbers) {
  let total = 0n;
  for (const text of numbers) {
    // `BigInt` alone takes spaces, hexadecimal numbers and the empty string.
    if (!/^-?[0-9]{1,19}$/.test(text) || wrapped(BigInt(text)) !== BigInt(text)) throw text;
    total += BigInt(text);
  }
  return String(wrapped(total));
}

function sumHalves(numbers) {
  let total = 0n;
  for (const { high, low } of numbers) total += (BigInt(high) << 32n) + BigInt(unsigned(low));
  return { high: Number(BigInt.asIntN(32, total >> 32n)), low: Number(BigInt.asIntN(32, total)) };
}

function mean(numbers) {
  if (numbers.length === 0) return undefined;
  let total = 0;
  for (const number of numbers) total += number;
  return total / numbers.length;
}

function scale(numbers, factor) {
  return Array.from(numbers, (number) => Math.fround(number * factor));
}

function reverse(text) {
  // The iterator of a string gives scalar values; its indices count UTF-16.
  return Array.from(text).reverse().join('');
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

// `<` compares UTF-16, in which characters beyond U+FFFF come before U+E000.
function byScalars(left, right) {
  const [a, b] = [Array.from(left), Array.from(right)];
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i].codePointAt(0) - b[i].codePointAt(0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function sort(texts) {
  return texts.slice().sort(byScalars);
}

function countWords(text) {
  const counts = new Map();
  // `\s` knows more white space than the world does.
  for (const word of text.match(/[^\t-\r ]+/g) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort(([left], [right]) => byScalars(left, right));
}

function describe({ tag, val }) {
  switch (tag) {
    case 'dot':
      return 'dot';
    case 'circle':
      return `circle of radius ${unsigned(val)}`;
    case 'rectangle':
      return `rectangle of ${unsigned(val[0])} by ${unsigned(val[1])}`;
    case 'polygon':
      return `polygon of ${val.length} points`;
    case 'label':
      return `label with ${val}`;
  }
}

function unite(left, right) {
  const all = { ...left };
  for (const name in right) all[name] ||= right[name];
  return all;
}

function divide(dividend, divisor) {
  if (divisor === 0) throw 'by-zero';
  const quotient = Math.trunc(dividend / divisor);
  if (quotient > 0x7fffffff) throw 'overflow';
  return quotient;
}

function find(people, name) {
  return people.find((person) => person.name === name);
}

// An exported interface is an object of its name.
export const api = {
  echoBool: same,
  echoChar: same,
  echoString: same,
  echoIntegers: same,
  echoS64: same,
  echoU64: same,
  echoFloats: same,
  echoBytes: same,
  echoNumbers: same,
  echoBlobs: same,
  echoPerson: same,
  echoShape: same,
  echoColor: same,
  echoPermissions: same,
  echoNested: same,
  echoOutcomes: same,
  nothing,
  sum,
  sumDecimal,
  sumHalves,
  mean,
  scale,
  reverse,
  crc32,
  sort,
  countWords,
  describe,
  unite,
  divide,
  find,
};
