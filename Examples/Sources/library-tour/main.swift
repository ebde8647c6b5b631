import Checkpoints
import Foundation
import Models
import Passes

/// Ends the program with exit code 1 when something is not as it must be.
func require(_ condition: Bool, _ what: String) {
  guard !condition else { return }
  print("wrong: \(what)")
  exit(1)
}

let fixture = CommandLine.arguments.dropFirst().first ?? "Fixtures/tiny-llama"
let folder = FileManager.default.temporaryDirectory.appending(path: "rilq-tour-\(UUID().uuidString)")
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
defer { try? FileManager.default.removeItem(at: folder) }
func path(_ name: String) -> String { folder.appending(path: name).path(percentEncoded: false) }

// Open a checkpoint: headers only, the bytes of a tensor when they are asked for.
let input = try Checkpoint.open(path: fixture)
print("\(input.contents.tensors.count) tensors, \(input.contents.byteCount) bytes")

// Quantize one matrix in memory, and write it to a file of its own.
let module = "model.layers.0.mlp.down_proj"
guard let weight = input.tensor(named: module + ".weight") else { fatalError("the fixture has no \(module)") }
let matrix = try QuantizedMatrix(
  rounding: try input.floats(of: weight.name), rows: weight.shape[0], columns: weight.shape[1],
  QuantizedLayout(bits: 3, groupSize: 64))
print("\(module): relative error \(matrix.relativeError)")
require(matrix.relativeError > 0 && matrix.relativeError < 0.3, "the error of 3 bits")
let tensors = matrix.tensors(of: module)
let contents = CheckpointContents(tensors: tensors.map(\.info), quantization: [module: matrix.layout])
let writer = try ContainerWriter(contents, path: path("matrix.rilq"))
for (info, bytes) in tensors { try bytes.withSpan { try writer.write(info, $0) } }
print("wrote \(try writer.finish()) bytes")
let written = try Checkpoint.open(path: path("matrix.rilq"))
require(written.contents.quantization == [module: matrix.layout], "the packing that was written")
require(try written.floats(of: module + ".scales") == matrix.scales, "the scales that were written")

// Run a recipe in memory, with a pass of our own between two others.
let text = PathOption(fixture + "/evaluation.txt")
let recipe = Recipe(
  input: PathOption(fixture), output: PathOption(path("small.rilq")),
  passes: [
    .quantize(
      QuantizeOptions {
        $0.bits = 4
        $0.tables = .f16
      }),
    PassOptions(RoundNorms(RoundNorms.Options { $0.dtype = .bf16 })),
    .verify(
      VerifyOptions {
        $0.text = text
        $0.window = 64
        $0.maxTokens = 256
        $0.maxMeanKL = 1
      }),
  ])
let pipeline = Pipeline(recipe)
print("planned: \(try pipeline.plan().passes.map { "\($0.name) \($0.changes.count)" })")
let report = try pipeline.run { progress in
  if progress.completed == progress.total { print("\(progress.phase): \(progress.total)") }
}
guard let quantization = report.passes[0].report as? QuantizationReport,
  let norms = report.passes[1].report as? RoundNorms.Report,
  let verification = report.passes[2].report as? Verification
else { fatalError("the reports have other types") }
print("relative error \(quantization.relativeError), \(norms.norms) norms")
print("mean KL \(verification.comparison.meanKL)")
require(norms.norms == 9, "two norms for each of 4 layers, and the last one")
require(verification.passed, "the verification")

// The same recipe as a file may name the pass, too.
let registry = PassRegistry.standard.adding(RoundNorms.self)
let again = try Recipe(parsing: recipe.resolvedYAML(), path: path("recipe.yaml"), registry: registry)
require(again.passes.map(\.name) == ["quantize", "round_norms", "verify"], "the recipe that was read")

// Evaluate and compare.
let output = try Checkpoint.open(path: path("small.rilq"))
let windows = try EvaluationWindows(
  path: text.resolved, window: 64, maxTokens: 256, tokenizer: try Tokenizer(of: input)
).windows
let (original, small) = (try Transformer(input), try Transformer(output))
let perplexity = try small.evaluate(windows).perplexity
let comparison = try original.compare(with: small, on: windows)
print("perplexity \(perplexity), of the original \(comparison.reference.perplexity)")
require(abs(perplexity / comparison.candidate.perplexity - 1) < 1e-6, "two measures of one perplexity")
require(perplexity < comparison.reference.perplexity * 1.5, "the perplexity of 4 bits")
