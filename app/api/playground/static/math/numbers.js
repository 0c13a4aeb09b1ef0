// Numbers as the service sends them in bytes: float32, float16, int8, and a bit a component. Pure.

/** The value of the 16 bits of a float16. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The rows of an answer in bytes (little-endian), by its NumPy type and its shape "2,384". */
export function rowsOf(buffer, type, shape) {
  const [count, width] = shape.split(",").map(Number);
  const view = new DataView(buffer);
  const [size, read] = {
    float32: [4, (at) => view.getFloat32(at, true)],
    float16: [2, (at) => half(view.getUint16(at, true))],
    int8: [1, (at) => view.getInt8(at)],
    uint8: [1, (at) => view.getUint8(at)],
  }[type];
  if (buffer.byteLength !== count * width * size) throw new RangeError("not the bytes of this shape");
  const Row = type === "uint8" ? Uint8Array : Float32Array;
  return Array.from({ length: count }, (_, row) =>
    Row.from({ length: width }, (_, column) => read((row * width + column) * size)),
  );
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest; rest >>= 1) count += rest & 1;
  return count;
});

/** How many bits of two rows differ. */
export function hamming(a, b) {
  let count = 0;
  for (let i = 0; i < a.length; i += 1) count += ONES[a[i] ^ b[i]];
  return count;
}
