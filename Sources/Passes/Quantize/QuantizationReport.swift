public import Checkpoints
public import Kernels

/// The report of a quantization, with its errors.
public struct QuantizationReport: PassReport {
  /// What the training of the layers gave.
  public struct LayerTraining: Sendable {
    /// The mean loss of the layers with the codes and tables of the method.
    public let lossBefore: Double
    /// The mean loss with the trained codes and tables.
    public let lossAfter: Double
    /// The share of the codes that changed.
    public let changedCodes: Double
    /// The number of layers whose loss did not fall, which stay as they were.
    public let layersPutBack: Int
  }

  /// The errors of one module.
  public struct ModuleError: Sendable {
    /// The module.
    public let module: String
    /// The norm of the error of its weights, relative to the norm of the weights.
    public let relativeError: Double
    /// The norm of the error of its outputs, relative to the norm of the outputs; nil if not measured.
    public let relativeOutputError: Double?
  }

  /// The number of quantized modules.
  public let modules: Int
  /// The number of weights in the modules.
  public let weights: Int
  /// The norm of the error of all weights, relative to the norm of the weights.
  public let relativeError: Double
  /// The norm of the error of the outputs, relative to the norm of the outputs; nil without inputs.
  public let relativeOutputError: Double?
  /// The largest damping of any factorization.
  public let damping: Double?
  /// What the training of the layers gave; nil if they were not trained.
  public let layerTraining: LayerTraining?
  /// The actual precision of operands; nil if rounding was not requested.
  public let products: ProductOperands?
  /// The number of modules that no window reaches.
  public let modulesWithoutStatistics: Int
  /// The number of modules by number of bits.
  public let moduleCounts: [Int: Int]
  /// The layouts of modules that are not on the grid of super-blocks.
  public let otherGrids: [String: QuantizedLayout]
  /// Whether the rounded weights are stored dense.
  public let isDense: Bool
  /// The number of tokens that reached each linear of an expert, where they were too few for statistics.
  public let tokensOfScarceExperts: [String: Int]
  /// The matrices of layers that were left alone by rule, each with the reason.
  public let unquantized: [(module: String, reason: String)]
  /// The errors of each module, in the order of the work.
  public let errors: [ModuleError]

  /// The values of the report, in order.
  public var items: [ReportItem] {
    var items = [
      ReportItem("modules", .integer(modules)), ReportItem("weights", .integer(weights)),
      ReportItem("relative_error", .number(relativeError)),
    ]
    if let relativeOutputError {
      items.append(ReportItem("relative_output_error", .number(relativeOutputError)))
    }
    if let damping { items.append(ReportItem("damping", .number(damping))) }
    if let layerTraining {
      items.append(ReportItem("layer_loss_before", .number(layerTraining.lossBefore)))
      items.append(ReportItem("layer_loss_after", .number(layerTraining.lossAfter)))
      items.append(ReportItem("changed_codes", .number(layerTraining.changedCodes)))
      if layerTraining.layersPutBack > 0 {
        items.append(ReportItem("layers_put_back", .integer(layerTraining.layersPutBack)))
      }
    }
    if let products { items.append(ReportItem("products", .text(products.rawValue))) }
    if modulesWithoutStatistics > 0 {
      items.append(ReportItem("modules_without_statistics", .integer(modulesWithoutStatistics)))
    }
    if moduleCounts.count > 1 {
      items += moduleCounts.sorted { $0.key < $1.key }.map { bits, count in
        ReportItem("modules_of_\(bits)_bits", .integer(count))
      }
    }
    if !otherGrids.isEmpty {
      let modules = otherGrids.sorted { precedes($0.key, $1.key) }
      items.append(ReportItem("modules_on_other_grids", .integer(modules.count)))
      items.append(
        ReportItem(
          "other_grids", .group(modules.map { ReportItem($0.key, .text($0.value.description)) })))
    }
    if isDense { items.append(ReportItem("stored", .text("dense"))) }
    if !tokensOfScarceExperts.isEmpty {
      items.append(ReportItem("experts_with_few_tokens", .integer(tokensOfScarceExperts.count)))
      items.append(ReportItem("tokens_of_experts", .group(tokenCounts)))
    }
    if !unquantized.isEmpty {
      items.append(ReportItem("modules_left_alone", .integer(unquantized.count)))
      items.append(
        ReportItem("left_alone", .group(unquantized.map { ReportItem($0.module, .text($0.reason)) })))
    }
    items.append(ReportItem("errors", .document(.array(errors.map(\.json)))))
    return items
  }

  private var tokenCounts: [ReportItem] {
    tokensOfScarceExperts.keys.sorted(by: precedes).map { module in
      ReportItem(module, .integer(tokensOfScarceExperts[module] ?? 0))
    }
  }
}

extension QuantizationReport.ModuleError {
  fileprivate var json: JSONValue {
    .object(
      [.init("module", .string(module)), .init("relative_error", .double(relativeError))]
        + (relativeOutputError.map { [.init("relative_output_error", .double($0))] } ?? []))
  }
}

/// Collects the values of the report during a quantization.
struct QuantizationSummary {
  private(set) var modules = 0
  private var weights = 0
  private var squaredError = 0.0
  private var squaredNorm = 0.0
  /// The relative error of each module's weights, in the order of the work.
  private var errors: [(module: String, relative: Double)] = []
  /// The error of the linears' outputs relative to the originals'; nil without inputs.
  var outputError: Double?
  /// The same error of each module whose outputs were compared.
  var outputErrors: [String: Double] = [:]
  /// The largest damping of any factorization.
  var damping: Double?
  /// What the training of each layer gave.
  var trainedLayers: [LayerTraining.Outcome] = []
  /// The actual precision of operands; nil if rounding was not requested.
  var products: ProductOperands?
  /// The number of modules that the text does not reach.
  private var modulesWithoutStatistics = 0
  /// The number of modules by number of bits.
  var moduleCounts: [Int: Int] = [:]
  /// The layouts of modules that are not on the grid of the pass.
  var otherGrids: [String: QuantizedLayout] = [:]
  /// Whether the weights stay dense.
  var isDense = false
  /// The linears of experts that too few tokens reached, with the number of tokens.
  var scarceTokens: [(module: String, tokens: Int)] = []
  /// The matrices of layers that were left alone.
  var unquantized: [UnquantizedModule] = []

  /// Adds a module's weights and their error.
  mutating func add(_ module: String, _ packed: PackedTensor, isOutOfReach: Bool = false) {
    add(
      module, weights: packed.weightCount, squaredError: packed.squaredError, squaredNorm: packed.squaredNorm)
    modulesWithoutStatistics += isOutOfReach ? 1 : 0
  }

  /// Adds a module's weights and their error.
  mutating func add(_ module: String, weights: Int, squaredError: Double, squaredNorm: Double) {
    modules += 1
    errors.append((module, Self.relative(squaredError, squaredNorm)))
    self.weights += weights
    self.squaredError += squaredError
    self.squaredNorm += squaredNorm
  }

  var report: QuantizationReport {
    QuantizationReport(
      modules: modules, weights: weights,
      relativeError: Self.relative(squaredError, squaredNorm),
      relativeOutputError: outputError, damping: damping, layerTraining: layerTraining, products: products,
      modulesWithoutStatistics: modulesWithoutStatistics, moduleCounts: moduleCounts, otherGrids: otherGrids,
      isDense: isDense,
      tokensOfScarceExperts: Dictionary(scarceTokens, uniquingKeysWith: { first, _ in first }),
      unquantized: unquantized.map { ($0.name, $0.reason.rawValue) },
      errors: errors.map {
        QuantizationReport.ModuleError(
          module: $0.module, relativeError: $0.relative, relativeOutputError: outputErrors[$0.module])
      })
  }

  private static func relative(_ squaredError: Double, _ squaredNorm: Double) -> Double {
    (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot()
  }

  private var layerTraining: QuantizationReport.LayerTraining? {
    guard !trainedLayers.isEmpty else { return nil }
    let count = Double(trainedLayers.count)
    let weights = trainedLayers.reduce(0) { $0 + $1.weights }
    let changedCodes = trainedLayers.reduce(0) { $0 + $1.changedCodes }
    return QuantizationReport.LayerTraining(
      lossBefore: trainedLayers.reduce(0) { $0 + $1.lossBefore } / count,
      lossAfter: trainedLayers.reduce(0) { $0 + $1.lossAfter } / count,
      changedCodes: Double(changedCodes) / Double(max(weights, 1)),
      layersPutBack: trainedLayers.count { $0.isPutBack })
  }
}
