// Vectors of texts at length 1, dense or sparse, behind the same few operations. Pure.

/** The dot product of two arrays of one length. */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i];
  return sum;
}

function scale(values) {
  const length = Math.sqrt(dot(values, values));
  return length > 0 ? 1 / length : 0;
}

/** Dense vectors: a row is an array of numbers. */
export class Dense {
  constructor(rows) {
    this.width = rows.length ? rows[0].length : 0;
    this.rows = rows.map((row) => this.prepare(row));
  }

  get count() {
    return this.rows.length;
  }

  prepare(row) {
    const factor = scale(row);
    const prepared = new Float32Array(row); // filled in a loop: `from` calls a function for each value
    for (let i = 0; i < prepared.length; i += 1) prepared[i] *= factor;
    return prepared;
  }

  similarity(a, b) {
    return dot(a, b);
  }

  along(row, direction) {
    return dot(row, direction);
  }

  addTo(sum, row, weight) {
    for (let i = 0; i < row.length; i += 1) sum[i] += weight * row[i];
  }
}

/** Sparse vectors: a row is a list of {index, value}; columns that no text uses are left out. */
export class Sparse {
  constructor(rows) {
    this.columns = new Map();
    for (const row of rows) {
      for (const { index } of row) {
        if (!this.columns.has(index)) this.columns.set(index, this.columns.size);
      }
    }
    this.width = this.columns.size;
    this.rows = rows.map((row) => this.prepare(row));
  }

  get count() {
    return this.rows.length;
  }

  /** The row at length 1; what it has in columns of no text counts in the length alone. */
  prepare(row) {
    const factor = scale(row.map(({ value }) => value));
    const known = row.filter(({ index }) => this.columns.has(index));
    return {
      columns: Int32Array.from(known, ({ index }) => this.columns.get(index)),
      values: Float32Array.from(known, ({ value }) => value * factor),
    };
  }

  similarity(a, b) {
    if (this.scattered?.of !== a) {
      const values = new Float32Array(this.width);
      this.addTo(values, a, 1);
      this.scattered = { of: a, values };
    }
    return this.along(b, this.scattered.values);
  }

  along(row, direction) {
    let sum = 0;
    for (let i = 0; i < row.columns.length; i += 1) sum += row.values[i] * direction[row.columns[i]];
    return sum;
  }

  addTo(sum, row, weight) {
    for (let i = 0; i < row.columns.length; i += 1) sum[row.columns[i]] += weight * row.values[i];
  }
}

/** The mean of the rows of one text's token vectors, as one vector for the whole text. */
export function meanOf(rows) {
  const mean = new Float32Array(rows.length ? rows[0].length : 0);
  for (const row of rows) for (let i = 0; i < mean.length; i += 1) mean[i] += row[i] / rows.length;
  return mean;
}

/** The similarity of one prepared row to every row. */
export function similarities(vectors, row) {
  return Float32Array.from(vectors.rows, (other) => vectors.similarity(row, other));
}

/** The similarities of the first `count` rows to each other, row by row. */
export function matrix(vectors, count) {
  const found = new Float32Array(count * count);
  for (let i = 0; i < count; i += 1) {
    for (let j = i; j < count; j += 1) {
      const value = vectors.similarity(vectors.rows[i], vectors.rows[j]);
      found[i * count + j] = value;
      found[j * count + i] = value;
    }
  }
  return found;
}

/** The dot product of two lists of {index, value}. */
export function sparseDot(a, b) {
  const values = new Map(a.map(({ index, value }) => [index, value]));
  return b.reduce((sum, { index, value }) => sum + value * (values.get(index) ?? 0), 0);
}
