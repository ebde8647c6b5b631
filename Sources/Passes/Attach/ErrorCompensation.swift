import Checkpoints
import Kernels
import Models

/// Computes adapters that compensate for the quantization error, linear after linear.
///
/// With a text, windows run through the quantized model and pause before each group of linears. The adapters
/// of a group are computed for the outputs of the earlier layers, whose adapters are included.
struct ErrorCompensation {
  private let options: AttachOptions
  private let selected: Set<String>
  private let progress: ProgressHandler
  private let models: CompensatedModels
  private var walk: LayerWalk?
  private var done = 0
  private var before = CompensatedError()
  private var after = CompensatedError()
  /// The number of linears of experts that no token reached.
  private var unreached = 0

  /// - Parameters:
  ///   - options: The options of the pass.
  ///   - modules: Quantized linears of layers.
  ///   - models: The original model, the quantized one, and the windows, if any.
  ///   - progress: Called after each linear.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(
    _ options: AttachOptions, modules: [String], _ models: CompensatedModels,
    progress: @escaping ProgressHandler
  ) throws {
    precondition(!options.roundsAgain || options.kind == .dense, "a pooled adapter, several iterations")
    self.options = options
    self.models = models
    self.progress = progress
    selected = Set(modules)
    walk = models.windows.isEmpty ? nil : try LayerWalk(models.student, models.windows)
  }

  /// The report: the error relative to the weights, or to their outputs, without and with the adapters.
  var report: [ReportItem] {
    let name = options.initialization.usesText ? "relative_output_error" : "relative_error"
    return [
      ReportItem(name + "_before", .number(before.relative)),
      ReportItem(name + "_after", .number(after.relative)),
    ] + .modulesWithoutTokens(unreached)
  }

  /// Computes every adapter.
  ///
  /// - Parameter keep: Called with each linear and its adapter.
  /// - Throws: `PassError.notFinite`, `ModelError.notFinite`, or the errors of `keep`.
  mutating func run(_ keep: (Linear) throws -> Void) throws {
    for index in models.student.layers.indices {
      for group in models.student.layers[index].groupKinds {
        walk?.advance(layer: index, to: .before(group))
        let originals = models.teacher.layers[index][group].linears
        var linears = models.student.layers[index][group].linears
        let chosen = linears.indices.filter { selected.contains(linears[$0].name) }
        guard let first = chosen.first else { continue }
        let moments = try walk.flatMap { try $0.moments(named: linears[first].name) }
        if walk != nil, moments == nil { unreached += chosen.count }
        for position in chosen {
          try compensate(&linears[position], original: originals[position], moments)
          try keep(linears[position])
        }
        walk?.model.layers[index][group].linears = linears
      }
      walk?.finish(layer: index)
      // Frees the layers that no window reaches again.
      let layer = models.student.layers[index]
      walk?.model.layers[index] = layer
    }
  }

  private mutating func compensate(
    _ linear: inout Linear, original: Linear, _ moments: DoubleMatrix?
  ) throws {
    let weight = try original.foldedDoubles()
    let norm = weight.energy(moments: moments)
    var error = weight.subtracting(try linear.foldedDoubles())
    // The outputs of linears that no token reaches are not known.
    let isMeasured = walk == nil || moments != nil
    if isMeasured { before.add(error.energy(moments: moments), norm) }
    let groupSize = options.kind == .pooled ? linear.weight.columnGranularity : 1
    let factors = try namingModule(linear.name) {
      if options.roundsAgain {
        return try LowRankFactors.alternating(
          for: weight, with: &linear, iterations: options.iterations, rank: options.rank,
          tables: models.tableFormats(of: linear.name))
      }
      return try LowRankFactors(of: error, moments: moments, options, groupSize: groupSize)
    }
    if options.roundsAgain { error = weight.subtracting(try linear.foldedDoubles()) }
    if isMeasured {
      after.add(
        error.subtracting(factors.product.spreadColumns(over: groupSize)).energy(moments: moments), norm)
    }
    linear.adapter = options.adapter(from: factors, of: linear, groupSize: groupSize)
    done += 1
    progress(
      Progress(
        phase: options.initialization.rawValue, completed: done, total: selected.count, detail: linear.name))
  }
}

extension LowRankFactors {
  /// Computes the factors of an adapter that compensates an error.
  ///
  /// - Parameters:
  ///   - error: E, `[out, in]`, finite.
  ///   - moments: The moments of the input, `[in, in]`; nil when unknown.
  ///   - options: The kind and rank of the adapter.
  ///   - groupSize: The number of columns that a pooled adapter pools into one.
  /// - Throws: `FactorizationError` when error or moments are not finite.
  init(
    of error: DoubleMatrix, moments: DoubleMatrix? = nil, _ options: AttachOptions, groupSize: Int
  ) throws(FactorizationError) {
    guard options.kind == .pooled else {
      try self.init(approximating: error, moments: moments, rank: options.rank)
      return
    }
    try self.init(
      approximatingBiases: error, moments: moments, groupSize: groupSize, rank: options.rank)
  }
}

extension [ReportItem] {
  /// A report of the linears of experts that no token reached, if there are any; their adapters compensate the
  /// error of the weights.
  static func modulesWithoutTokens(_ count: Int) -> [ReportItem] {
    count > 0 ? [ReportItem("modules_without_tokens", .integer(count))] : []
  }
}

/// The errors of several linears together.
struct CompensatedError {
  private var squaredError = 0.0
  private var squaredNorm = 0.0

  /// The root of the squared error, relative to the correct values.
  var relative: Double { (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot() }

  mutating func add(_ squaredError: Double, _ squaredNorm: Double) {
    self.squaredError += max(squaredError, 0)
    self.squaredNorm += squaredNorm
  }
}
