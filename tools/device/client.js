// Run an exported model over rows from standard input: node client.js MODEL.onnx < rows.csv
// A row holds the numbers of the inputs before the state (x, then y or time), an empty cell is NaN.
// Prints the outputs before the new state. Needs onnxruntime-node or onnxruntime-web from npm.
const readline = require("node:readline");

function runtime() {
  try {
    return require("onnxruntime-node");
  } catch {
    return require("onnxruntime-web");
  }
}

async function main(path) {
  const ort = runtime();
  const model = await ort.InferenceSession.create(path);
  const init = await ort.InferenceSession.create(path.replace(/\.onnx$/, ".init.onnx"));
  const start = await init.run({});
  let state = init.outputNames.map((name) => start[name]);
  const fed = model.inputMetadata.filter((entry) => !init.outputNames.includes(entry.name));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const cells = line.split(",").map((cell) => (cell.trim() ? Number(cell) : NaN));
    const feeds = Object.fromEntries(init.outputNames.map((name, k) => [name, state[k]]));
    for (const { name, type, shape } of fed) {
      const dims = [1, ...shape.slice(1)];
      const part = cells.splice(0, dims[dims.length - 1]);
      const data = type === "int64" ? BigInt64Array.from(part, BigInt) : Float32Array.from(part);
      feeds[name] = new ort.Tensor(type, data, dims);
    }
    const found = await model.run(feeds);
    const values = model.outputNames.map((name) => found[name]);
    const answers = values.slice(0, values.length - state.length);
    state = values.slice(values.length - state.length);
    console.log(answers.flatMap((answer) => Array.from(answer.data)).join(","));
  }
}

main(process.argv[2]);
