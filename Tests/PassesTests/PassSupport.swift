import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// A folder of one test with a checkpoint in it and what recipes make of it.
struct Workbench {
  let folder: TemporaryFolder
  let input: Checkpoint

  /// Begins with a model made in code.
  init(_ model: TinyModel = TinyModel(), editing edit: (String, inout [Float]) -> Void = { _, _ in }) throws {
    folder = try TemporaryFolder()
    input = try model.write(to: folder.path("model"), editing: edit)
  }

  /// Begins with a model of any family made in code.
  init(_ model: FamilyModel) throws {
    folder = try TemporaryFolder()
    input = try model.write(to: folder.path("model"))
  }

  /// Begins with a folder of `Fixtures`.
  init(fixture: String) throws {
    folder = try TemporaryFolder()
    input = try Checkpoint.open(path: Fixtures.path(fixture))
  }

  /// Runs passes on a checkpoint, by default the first one, and opens the output.
  @discardableResult
  func run(
    _ passes: PassOptions..., on checkpoint: Checkpoint? = nil, to name: String = "out.rilq",
    force: Bool = false, log: String? = nil, memoryLimit: Int? = nil,
    progress: @escaping ProgressHandler = { _ in }
  ) throws -> PassResult {
    let path = folder.path(name)
    let recipe = Recipe(
      input: PathOption((checkpoint ?? input).path), output: PathOption(path), passes: passes)
    let options = Pipeline.Options(
      force: force, version: "0.0.0", logPath: log.map(folder.path), memoryLimit: memoryLimit)
    let report = try Pipeline(recipe, options).run(progress: progress)
    return PassResult(checkpoint: try Checkpoint.open(path: path), reports: report.passes.map(\.report.json))
  }
}

/// What a recipe made.
struct PassResult {
  let checkpoint: Checkpoint
  let reports: [JSONValue]

  /// A value of the last pass's report.
  subscript(key: String) -> JSONValue? { reports.last?[key] }
}

/// The perplexity of the first windows of the fixture's evaluation text.
func perplexity(of checkpoint: Checkpoint) throws -> Double {
  let tokens = try Tokenizer(of: checkpoint).encode(contentsOf: Fixtures.path("tiny-llama/evaluation.txt"))
  return try Transformer(checkpoint).evaluate(
    try windows(of: Array(tokens.prefix(8_192)), length: 256, path: "text")
  ).perplexity
}

extension SecondMoments {
  /// The moments of inputs, `[tokens, features]`.
  init(of inputs: Matrix) {
    self.init(order: inputs.columnCount)
    add(inputs)
  }
}

/// Patterns, none of which is malformed.
func patterns(_ texts: String...) throws -> [ModulePattern] { try texts.map { try ModulePattern($0) } }

/// Expects the same tensors with the same bytes, but for some names.
func expectSameTensors(
  _ a: Checkpoint, _ b: Checkpoint, except skip: (String) -> Bool = { _ in false },
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let names = a.contents.tensors.map(\.name).filter { !skip($0) }
  #expect(!names.isEmpty, sourceLocation: sourceLocation)
  for name in names {
    #expect(a.tensor(named: name) == b.tensor(named: name), sourceLocation: sourceLocation)
    let isSame = try a.copiedBytes(of: name) == b.copiedBytes(of: name)
    #expect(isSame, "\(name)", sourceLocation: sourceLocation)
  }
}

/// The largest absolute difference of two lists of the same length.
func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  precondition(a.count == b.count, "\(a.count) values, \(b.count) values")
  return zip(a, b).map { $0.isNaN || $1.isNaN ? .infinity : abs($0 - $1) }.max() ?? 0
}

/// Numbers around zero that a seed and a name give.
func noise(_ name: String, count: Int, size: Float) -> [Float] {
  var random = SplitMix64(seed: name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
  return (0..<count).map { _ in Float.random(in: -size...size, using: &random) }
}

/// The moments of correlated inputs with a few that are much larger than the others, and one that is always
/// zero.
func correlatedMoments(order: Int, rows: Int) -> SecondMoments {
  let values = noise("inputs", count: rows * order, size: 1)
  var inputs = values
  for i in order..<inputs.count {
    inputs[i] += 0.7 * values[i - order / 2] + 0.5 * values[i / order * order]
    inputs[i] *= i % order % 40 == 7 ? 20 : 1
  }
  for i in stride(from: 5, to: inputs.count, by: order) { inputs[i] = 0 }
  return SecondMoments(of: Matrix(rows: rows, columns: order, values: inputs))
}

extension PassError {
  /// Whether a command was used wrongly, or a recipe is wrong.
  var isUsage: Bool {
    switch self {
    case .usage, .recipe, .unmatchedPattern, .emptySelection, .alreadyPacked: true
    case .divisibility, .notFinite, .notExact, .checkFailed: false
    }
  }

  /// Whether a loss was not allowed.
  var isNotExact: Bool {
    guard case .notExact = self else { return false }
    return true
  }

  /// Whether a check was not passed.
  var isFailedCheck: Bool {
    guard case .checkFailed = self else { return false }
    return true
  }
}
